/** What a device sends, ready to be copied: with its secret in it, so only shown once. */
export type Way = 'http' | 'mqtt' | 'osmand';

export interface Device {
  /** Of the thing or the mover. */
  name: string;
  /** Of the datastream. */
  series: string;
  secret: string;
  /** Name of the token: the user of an MQTT account. */
  user: string;
  /** As https://trung-tam.example. */
  base: string;
  /** host:port, null where the door is closed. */
  mqtt: string | null;
}

/** A word in single quotes for a shell. */
export const quoted = (word: string): string => `'${word.replace(/'/g, `'\\''`)}'`;

/** The command that sends one record. */
export function example(way: Way, { name, series, secret, user, base, mqtt }: Device): string {
  if (way === 'mqtt') {
    const at = (mqtt ?? '').lastIndexOf(':');
    const host = (mqtt ?? '').slice(0, at);
    const port = (mqtt ?? '').slice(at + 1);
    return `mosquitto_pub -h ${host} -p ${port} -u ${quoted(user)} -P ${quoted(secret)} -q 1 -t ${quoted(`thap/v1/${name}/${series}`)} -m 1.42`;
  }
  if (way === 'osmand') {
    const query = new URLSearchParams({ token: secret, id: name, lat: '10.45', lon: '105.63', speed: '2.1', bearing: '120' });
    return `curl ${quoted(`${base}/api/v1/trackers/osmand?${query}`)}`;
  }
  const body = JSON.stringify([{ datastream: `${name}/${series}`, result: 1.42 }]);
  return `curl ${quoted(`${base}/api/v1/observations`)} -H ${quoted(`Authorization: Bearer ${secret}`)} -H 'Content-Type: application/json' -d ${quoted(body)}`;
}

/** The address that is set in Traccar Client or OsmAnd; the braces are filled in by the phone. */
export const trackerAddress = ({ base, secret }: Pick<Device, 'base' | 'secret'>): string =>
  `${base}/api/v1/trackers/osmand?token=${encodeURIComponent(secret)}&id={device}&lat={lat}&lon={lon}&timestamp={time}&speed={speed}&bearing={bearing}`;
