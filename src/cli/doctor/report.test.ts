import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Check } from '../../engine/probe/check.ts';
import { doctorJson, doctorText, isFit } from './report.ts';

const GOOD: Check = { id: 'tun-device', title: 'TUN device', status: 'ok', found: '/dev/net/tun (0666) opens' };
const LESS: Check = {
  id: 'ping-sockets',
  title: 'Ping sockets',
  status: 'warning',
  found: 'EACCES',
  without: 'no ping',
  fix: 'sysctl -w x=1',
};
const BAD: Check = { id: 'namespaces', title: 'Namespaces', status: 'missing', found: 'denied\u001b[2J' };

describe('doctorText', () => {
  it('says what is there, what does not work without, and what repairs it', () => {
    assert.equal(
      doctorText([GOOD, LESS], false),
      `ok       TUN device       /dev/net/tun (0666) opens
warning  Ping sockets     EACCES
         so: no ping
         fix: sysctl -w x=1

"tapster run" works here, with 1 thing missing that it can do elsewhere.
`,
    );
  });

  it('ends with a verdict, and is harmless', () => {
    assert.match(doctorText([GOOD], false), /works here, with all that it can do\.\n$/);
    const text = doctorText([GOOD, BAD], false);
    assert.match(text, /^MISSING {2}Namespaces {7}denied\\x1b\[2J$/m);
    assert.match(text, /does not work here: Namespaces\.\n$/);
  });

  it('paints the marks', () => {
    assert.ok(doctorText([BAD], true).startsWith('\u001b[31mMISSING'));
  });
});

describe('doctorJson, isFit', () => {
  it('have the checks, and whether run works', () => {
    assert.deepEqual(JSON.parse(doctorJson([GOOD, LESS])), { fit: true, checks: [GOOD, LESS] });
    assert.equal(isFit([GOOD, BAD]), false);
  });
});
