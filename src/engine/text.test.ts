import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clip, formatBytes, formatDuration, formatEndpoint, harmless } from './text.ts';

describe('harmless', () => {
  it('shows what a terminal would obey', () => {
    assert.equal(harmless('a\u001b]0;title\u0007b\n'), 'a\\x1b]0;title\\x07b\\x0a');
    assert.equal(harmless('\u009b31m\u202e\u{1f600}'), '\\x9b31m\\u{202e}\\u{1f600}');
  });

  it('leaves nothing but printable ASCII of any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => /^[\x20-\x7e]*$/.test(harmless(text))));
  });

  it('changes no ordinary name', () => {
    assert.equal(harmless('xn--bcher-kva.example.org'), 'xn--bcher-kva.example.org');
  });
});

describe('formatBytes', () => {
  it('has three significant digits, and rounds to the next unit', () => {
    const samples: [number, string][] = [
      [0, '0 B'],
      [999, '999 B'],
      [1000, '1.00 kB'],
      [9994, '9.99 kB'],
      [9996, '10.0 kB'],
      [99_960, '100 kB'],
      [999_499, '999 kB'],
      [999_500, '1.00 MB'],
      [45_600_000, '45.6 MB'],
      [5e18, '5000 PB'],
    ];
    for (const [bytes, text] of samples) assert.equal(formatBytes(bytes), text);
  });
});

describe('formatDuration', () => {
  it('uses the unit that fits', () => {
    const samples: [number, string][] = [
      [0.4, '0 ms'],
      [999, '999 ms'],
      [999.6, '1.00 s'],
      [59_994, '59.99 s'],
      [59_996, '1 min 0 s'],
      [125_000, '2 min 5 s'],
      [10_860_000, '3 h 1 min'],
    ];
    for (const [durationMs, text] of samples) assert.equal(formatDuration(durationMs), text);
  });
});

describe('clip, formatEndpoint', () => {
  it('cuts the end off', () => {
    assert.equal(clip('abcdef', 6), 'abcdef');
    assert.equal(clip('abcdef', 4), 'abc~');
    assert.equal(clip('abcdef', 0), '');
  });

  it('puts IPv6 addresses in brackets in front of a port', () => {
    assert.equal(formatEndpoint('::1', 80), '[::1]:80');
    assert.equal(formatEndpoint('::1', undefined), '::1');
    assert.equal(formatEndpoint('10.0.0.1', 80), '10.0.0.1:80');
  });
});
