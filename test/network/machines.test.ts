/** Machines that take nothing for a while: what Tapster's own TCP flows carry to them waits where it is, whichever way it leaves by, and nobody else is held up. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { patternHash } from '../support/netns/pattern.ts';
import { inLab, ip, Namespace, onOwnMachine, serveHere } from './lab.ts';
import { StreamMachine } from './stream-machine.ts';

await onOwnMachine(import.meta.url);

const SERVER = '198.51.100.1';
const BYTES = 24_000_000;
/** Several time-outs of TCP, which are to pass without a segment sent again. */
const PAUSE_MS = 1500;

const folder = mkdtempSync(join(tmpdir(), 'machines-'));
const socket = join(folder, 'vm0.sock');

/** What Tapster's side of the machine is, and the VLAN that the machine is in. */
const WAYS = {
  'an interface': { vm0: 'address: [10.1.0.1/24]', isBridged: false, vlan: undefined },
  'a bridge': { vm0: 'bridge: lan', isBridged: true, vlan: undefined },
  'a VLAN': { vm0: 'vlans: { 7: { address: [10.1.0.1/24] } }', isBridged: false, vlan: 7 },
  'a VLAN in a bridge': { vm0: 'vlans: { 7: { bridge: lan } }', isBridged: true, vlan: 7 },
} as const;

describe('a machine that takes nothing for a while', () => {
  const lab = inLab();
  let red: Namespace;
  /** Frames that the machine's link did not take. */
  const lost = (): number =>
    lab.network
      .interfaces()
      .reduce((sum, { name, counters }) => sum + (name.startsWith('vm0') ? counters.txErrors : 0), 0);
  before(async () => {
    ip('addr', 'add', `${SERVER}/32`, 'dev', 'lo');
    red = new Namespace('red');
    await serveHere();
  });
  after(() => {
    red.delete();
    rmSync(folder, { recursive: true });
  });

  for (const [way, { vm0, isBridged, vlan }] of Object.entries(WAYS)) {
    it(`gets all bytes by ${way}, none of them twice, and holds nobody up`, async () => {
      const net = isBridged ? '10.1.0' : '10.2.0';
      const other = isBridged ? 'bridge: lan' : 'address: [10.2.0.1/24]';
      await lab.apply(`
interfaces:
  vm0: { stream: { socket: ${socket} }, ${vm0} }
  tap0: { tap: { host: { name: eth0, namespace: red, address: [${net}.3/24], gateway: [${net}.1] } }, ${other} }
bridges: ${isBridged ? '{ lan: { bvi: { address: [10.1.0.1/24] } } }' : '{}'}
uplink: { translate: host }
routes: [{ to: 0.0.0.0/0, via: uplink }]
`);
      const space = new Namespace('vm');
      const machine = new StreamMachine('vm', socket, vlan);
      try {
        space.shell('ip addr add 10.1.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.1.0.1');
        await space.reach(SERVER);
        const lostBefore = lost();
        const expected = { bytes: BYTES, sha256: patternHash(BYTES) };
        const fetched = space.fetch(SERVER, BYTES);
        await fetched.says(/^in full swing$/m);
        machine.pause();
        const others = red.fetch(SERVER, BYTES);
        const [, said] = await others.says(/^(\{.*)$/m);
        assert.deepEqual(JSON.parse(said!), expected);
        await sleep(PAUSE_MS);
        machine.resume();
        const [, told] = await fetched.says(/^(\{.*)$/m);
        assert.deepEqual(JSON.parse(told!), expected);
        assert.equal(repeated(space), 0);
        assert.equal(lost(), lostBefore);
      } finally {
        machine.close();
        space.delete();
        await lab.apply('interfaces: {}');
      }
    });
  }
});

/** Segments that came again to the namespace though their bytes had been taken: what the kernel counts as acknowledgements of ours that were lost. */
function repeated(space: Namespace): number {
  const lines = space
    .shell('cat /proc/net/netstat')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'));
  const [names, values] = lines.map((line) => line.split(' '));
  return Number(values![names!.indexOf('DelayedACKLost')]);
}
