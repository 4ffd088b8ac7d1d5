import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatPublish, parsePublish } from './publish.ts';

function rewritten(text: string): string {
  const rule = parsePublish(text);
  return typeof rule === 'string' ? `wrong: ${rule}` : formatPublish(rule);
}

describe('ports to publish', () => {
  it('are written in one way, whatever was left out', () => {
    const samples: [string, string][] = [
      ['8080', '8080:8080/tcp'],
      ['8080:80/udp', '8080:80/udp'],
      ['9000-9009:7000', '9000-9009:7000/tcp'],
      ['127.0.0.1:80:10.0.0.2:8080', '127.0.0.1:80:10.0.0.2:8080/tcp'],
      ['[::]:53-55:[fd00::2]:1053/udp', '[::]:53-55:[fd00::2]:1053/udp'],
      ['8080:[FD00::2]:80', '8080:[fd00::2]:80/tcp'],
    ];
    for (const [text, right] of samples) assert.equal(rewritten(text), right);
  });

  it('are refused with what would be right', () => {
    const samples: [string, RegExp][] = [
      ['0', /^port 0 is no port/],
      ['80:10.0.0.2', /port is missing behind the address; write \[ADDR:\]/],
      ['80:[fd00::2]80', /port is missing behind/],
      ['80:[fd00::2', /never closed/],
      ['80:fd00::2:80', /brackets/],
      ['80:10.0.0.256:80', /"10\.0\.0\.256" is not an address/],
      ['80:239.0.0.1:80', /multicast/],
      ['80:0.0.0.0:80', /0\.0\.0\.0 is nobody's address/],
      ['80:[::1]:80', /::1 is nobody's address/],
      ['80:10.0.0.2:80:1', /too many parts/],
      ['82-80', /runs backwards; turn it round: 80-82/],
      ['1-2000', /2000 ports in one rule; publish 1024 at most/],
    ];
    for (const [text, reason] of samples) assert.match(rewritten(text).replace('wrong: ', ''), reason, text);
  });

  it('mean the same when they are read again', () => {
    const noise = fc.string({ unit: fc.constantFrom(...'0123456789.:-/[]abtcpud') });
    fc.assert(
      fc.property(noise, (text) => {
        const rule = parsePublish(text);
        if (typeof rule === 'string') return;
        assert.deepEqual(parsePublish(formatPublish(rule)), rule);
        assert.ok(rule.firstPort >= 1 && rule.lastPort <= 65_535 && rule.toPort >= 1);
        assert.ok(rule.toPort + rule.lastPort - rule.firstPort <= 65_535);
      }),
    );
  });
});
