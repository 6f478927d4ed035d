import { describe, expect, it } from 'vitest';

import { shown } from './record';

describe('shown', () => {
  it('shows fields, and JSON in a text, with their names', () => {
    expect(shown({ datastream: 'a/b', result: 1 }).as).toBe('fields');
    expect(shown('{"result": 1}')).toEqual({ as: 'fields', text: '{\n  "result": 1\n}' });
  });
  it('shows text as text', () => {
    expect(shown('mực nước 1,42')).toEqual({ as: 'text', text: 'mực nước 1,42' });
  });
  it('shows bytes as hex beside their letters', () => {
    const said = shown('A\\xff\\x00B');
    expect(said.as).toBe('hex');
    expect(said.text).toMatch(/^000000 {2}41 ff 00 42 +A\.\.B$/);
    expect(shown({ topic: 'thap/v1/x/y', payload: '\\xff' }).text).toContain('000000  ff');
  });
});
