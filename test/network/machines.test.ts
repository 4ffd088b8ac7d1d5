/** Machines by a stream socket, or by datagrams. What Tapster's own TCP flows carry to one that takes nothing for a while waits where it is, whichever way it leaves by, and nobody else is held up. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { patternHash } from '../support/netns/pattern.ts';
import type { Program } from '../support/netns/process.ts';
import { clientHere, inLab, ip, Lab, Namespace, onOwnMachine, serveHere } from './lab.ts';
import { TapMachine, type TapMachineOptions } from './tap-machine.ts';

await onOwnMachine(import.meta.url);

const SERVER = '198.51.100.1';
const BYTES = 12_000_000;
/** Together they have more on the way than the socket's buffer holds, if the machine is quick. */
const FETCHES = 4;
/** Three time-outs of TCP, of 200, 400 and 800 ms. */
const PAUSE_MS = 1500;
/** What the socket's buffer holds counts as on its way: when it has been there for too long it is sent again with each time-out, but for nothing else. */
const REPEATED_MAX = (3 * 2 * 1024 * 1024) / 1448;

const folder = mkdtempSync(join(tmpdir(), 'machines-'));
const socket = join(folder, 'vm0.sock');
const peer = join(folder, 'vm0.qemu');
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const STREAM = `stream: { socket: ${socket} }`;
const DATAGRAM = `datagram: { socket: ${socket}, peer: ${peer} }`;

/** What Tapster's side of the machine is, the VLAN that the machine is in, and where it sends datagrams from. */
interface Way extends TapMachineOptions {
  readonly vm0: string;
  readonly isBridged: boolean;
}

const WAYS: Readonly<Record<string, Way>> = {
  'an interface': { vm0: `${STREAM}, address: [10.1.0.1/24]`, isBridged: false },
  'a bridge': { vm0: `${STREAM}, bridge: lan`, isBridged: true },
  'a VLAN': { vm0: `${STREAM}, vlans: { 7: { address: [10.1.0.1/24] } }`, isBridged: false, vlan: 7 },
  'a VLAN in a bridge': { vm0: `${STREAM}, vlans: { 7: { bridge: lan } }`, isBridged: true, vlan: 7 },
  datagrams: { vm0: `${DATAGRAM}, address: [10.1.0.1/24]`, isBridged: false, local: peer },
};

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
  });

  for (const [way, { vm0, isBridged, ...plug }] of Object.entries(WAYS)) {
    it(`gets all bytes by ${way}, no frame lost, and holds nobody up`, async () => {
      const net = isBridged ? '10.1.0' : '10.2.0';
      const other = isBridged ? 'bridge: lan' : 'address: [10.2.0.1/24]';
      await lab.apply(`
interfaces:
  vm0: { ${vm0} }
  tap0: { tap: { host: { name: eth0, namespace: red, address: [${net}.3/24], gateway: [${net}.1] } }, ${other} }
bridges: ${isBridged ? '{ lan: { bvi: { address: [10.1.0.1/24] } } }' : '{}'}
uplink: { translate: host }
routes: [{ to: 0.0.0.0/0, via: uplink }]
`);
      const space = new Namespace('vm');
      const machine = new TapMachine('vm', socket, plug);
      try {
        space.shell('echo 4096 16777216 16777216 > /proc/sys/net/ipv4/tcp_rmem');
        space.shell('ip addr add 10.1.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.1.0.1');
        await space.reach(SERVER);
        const lostBefore = lost();
        const expected = { bytes: BYTES, sha256: patternHash(BYTES) };
        const fetches = space.fetch(SERVER, BYTES, FETCHES);
        await fetches.says(/^in full swing$/m);
        machine.pause();
        const others = red.fetch(SERVER, BYTES, 1);
        assert.deepEqual(await told(others), [expected]);
        await sleep(PAUSE_MS);
        machine.resume();
        assert.deepEqual(await told(fetches), Array(FETCHES).fill(expected));
        assert.equal(lost(), lostBefore);
        const again = repeated(space);
        assert.ok(again < REPEATED_MAX, `${again} segments were sent again`);
      } finally {
        machine.close();
        space.delete();
        await lab.apply('interfaces: {}');
      }
    });
  }
});

it('a machine by datagrams comes and goes, and whoever binds its path anew takes its place', async () => {
  const lab = new Lab();
  await lab.up();
  const told = (event: string): Promise<unknown> => lab.heard(event).then(() => lab.events.splice(0));
  await lab.apply(`interfaces: { vm0: { ${DATAGRAM}, address: [10.1.0.1/24] } }`);
  assert.equal(lab.interface('vm0').linkUp, false);
  const space = new Namespace('vm');
  try {
    for (let turn = 0; turn < 2; turn++) {
      const machine = new TapMachine('vm', socket, { local: peer });
      space.shell('ip addr add 10.1.0.2/24 dev eth0; ip link set eth0 up');
      await told('link-up');
      assert.equal(lab.interface('vm0').linkUp, true);
      await space.reach('10.1.0.1');
      machine.close();
      await told('link-down');
      assert.equal(lab.interface('vm0').linkUp, false);
    }
    await lab.apply('interfaces: {}');
    assert.deepEqual([existsSync(socket), existsSync(peer)], [false, false]);
  } finally {
    await lab.down();
    space.delete();
  }
});

it('a machine that is given the only address is reached by published ports', async () => {
  const lab = new Lab();
  await lab.up();
  await lab.apply(`
interfaces:
  vm0:
    stream: { socket: ${socket} }
    address: [10.1.0.1/24]
    services: { dhcp: { pool: 10.1.0.2-10.1.0.2 } }
    publish: ["127.0.0.1:7007:7"]
uplink: { translate: host }
`);
  const space = new Namespace('vm');
  const machine = new TapMachine('vm', socket);
  try {
    space.shell('ip addr add 10.1.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.1.0.1');
    await space.serve();
    const { answer } = await clientHere<{ answer: string }>('exchange', '127.0.0.1', '7007', 'hello');
    assert.equal(answer, 'hello');
  } finally {
    machine.close();
    await lab.down();
    space.delete();
  }
});

/** What a fetch read. */
async function told(program: Program): Promise<unknown> {
  const [, line] = await program.says(/^(\[.*)$/m);
  return JSON.parse(line!);
}

/** Segments that came again to the namespace though their bytes had been taken: what the kernel counts as acknowledgements of ours that were lost. */
function repeated(space: Namespace): number {
  const lines = space
    .shell('cat /proc/net/netstat')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'));
  const [names, values] = lines.map((line) => line.split(' '));
  return Number(values![names!.indexOf('DelayedACKLost')]);
}
