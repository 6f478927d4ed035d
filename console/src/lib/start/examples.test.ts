import { describe, expect, it } from 'vitest';

import { example, quoted } from './examples';

const device = { name: 'tram-01', series: 'level', secret: 's3', user: 'tram-01', base: 'http://tt:8000', mqtt: '10.0.0.5:1883' };

describe('example', () => {
  it('is a command that a shell takes whole', () => {
    expect(quoted("a'b")).toBe(`'a'\\''b'`);
    expect(example('http', device)).toContain(`-d '[{"datastream":"tram-01/level","result":1.42}]'`);
  });
  it('names host and port of the MQTT door', () => {
    expect(example('mqtt', device)).toBe(`mosquitto_pub -h 10.0.0.5 -p 1883 -u 'tram-01' -P 's3' -q 1 -t 'thap/v1/tram-01/level' -m 1.42`);
  });
});
