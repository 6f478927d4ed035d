import { describe, expect, it } from 'vitest';

import { snippet } from './toml';

describe('snippet', () => {
  it('is a piece of TOML with its section', () => {
    expect(snippet('port', 8000, 'whole number')).toBe('port = 8000');
    expect(snippet('doors.ais.allow', ['10.0.0.0/8'], 'list of text')).toBe('[doors.ais]\nallow = ["10.0.0.0/8"]');
    expect(snippet('history.keep_days', { position: 730 }, 'table of whole number')).toBe('[history]\nkeep_days = { position = 730 }');
    expect(snippet('doors.ais.tcp_port', null, 'whole number')).toBe('[doors.ais]\ntcp_port = 0');
  });
});
