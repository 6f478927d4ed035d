/** A setting as a piece of thap.toml. */

function value(of: unknown): string {
  if (Array.isArray(of)) return `[${of.map(value).join(', ')}]`;
  if (of !== null && typeof of === 'object') {
    const fields = Object.entries(of).map(([key, one]) => `${/^[\w-]+$/.test(key) ? key : JSON.stringify(key)} = ${value(one)}`);
    return fields.length ? `{ ${fields.join(', ')} }` : '{}';
  }
  return typeof of === 'string' ? JSON.stringify(of) : String(of);
}

/** `[section]` and `name = value`; a setting without a value is shown with an example of its type. */
export function snippet(name: string, current: unknown, type: string): string {
  const at = name.lastIndexOf('.');
  const section = at < 0 ? '' : `[${name.slice(0, at)}]\n`;
  const example = type === 'whole number' || type === 'number' ? '0' : type === 'true or false' ? 'true' : type.startsWith('list') ? '[]' : '""';
  return `${section}${name.slice(at + 1)} = ${current === null || current === undefined ? example : value(current)}`;
}
