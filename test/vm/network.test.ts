/** Virtual machines as interfaces of a network: `examples/vm-and-namespace.yaml`, in which they share a bridge with a namespace, and one behind an interface of its own. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { qemuArguments, qemuVhostUserArguments } from '#tapster/engine/qemu-arguments.js';
import type { InterfaceView } from '#tapster/network/views.js';
import { inLab, ip, Namespace, onOwnMachine, serveHere } from '../network/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually, Program } from '../support/netns/process.ts';
import { CHECKOUT } from '../support/netns/user.ts';
import { ADVERTISED, type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';

await onOwnMachine(import.meta.url);

const image = vmImage();
const EXAMPLE = readFileSync(join(CHECKOUT, 'examples', 'vm-and-namespace.yaml'), 'utf8');
const SOCKET = '/tmp/tapster-vm0.sock';
const VHOST_USER_SOCKET = '/tmp/tapster-vm1.sock';
const BODY_BYTES = 8_000_000;
/** More than is said before a download. */
const BEGUN_BYTES = 10_000;
const PINGS = 12;
const SERVER = '198.51.100.1';
const PAUSE_MS = 1000;

const ROUTED = `
interfaces:
  vm0:
    stream: { socket: ${SOCKET} }
    address: [10.7.0.1/24]
    services: { dhcp: {} }
  tap0:
    tap: { host: { name: eth0, namespace: red, address: [10.8.0.2/24], gateway: [10.8.0.1] } }
    address: [10.8.0.1/24]
`;

describe('a virtual machine in a network', { skip: typeof image === 'string' ? image : false }, () => {
  const lab = inLab();
  const folder = mkdtempSync(join(tmpdir(), 'machines-'));
  let red: Namespace;
  let vm: Machine;
  before(() => {
    red = new Namespace('red');
  });
  after(() => {
    red.delete();
    rmSync(folder, { recursive: true });
  });

  const boot = async (device: readonly string[] = qemuArguments(SOCKET)): Promise<void> => {
    const words = [...qemuWords(image as Image), ...device];
    vm = new Machine(new Program(words, { timeoutMs: 0, keepInput: true }));
    await vm.booted();
  };
  const events = (name: string): number => lab.events.filter(({ event }) => event === name).length;

  it('has no link before it comes', async () => {
    await lab.apply(EXAMPLE);
    const { kind, up, linkUp } = lab.interface('vm0');
    assert.deepEqual({ kind, up, linkUp }, { kind: 'stream', up: true, linkUp: false });
    const hardware = lab.network.hardware().find(({ name }) => name === 'vm0');
    assert.deepEqual([hardware?.device, hardware?.backend], ['stream', 'socket']);
  });

  it('shares a bridge with a namespace', async () => {
    await boot();
    await lab.heard('link-up');
    assert.equal(lab.interface('vm0').linkUp, true);
    assert.match(await vm.run('/up'), /^lease 10\.1\.0\.1\d\d\/24 10\.1\.0\.1 /m);
    assert.match(await vm.run('ping -c 2 10.1.0.2'), /2 packets received/);
    await vm.run(ADVERTISED);
    assert.match(await vm.run('ping -c 2 fd00:1::2'), /2 packets received/);
    assert.ok(lab.network.stations('lan').some(({ interface: name }) => name === 'vm0'));
  });

  it('goes, which is its link and no more', async () => {
    vm.program.kill('SIGKILL');
    await lab.heard('link-down');
    const { up, linkUp } = lab.interface('vm0');
    assert.deepEqual({ up, linkUp }, { up: true, linkUp: false });
    await red.reach('10.1.0.1');
  });

  it('shares the bridge by vhost-user too, with large segments at an MTU of 1500', async () => {
    const { queues = [], device, backend, socket } = lab.network.hardware().find(({ name }) => name === 'vm1')!;
    assert.deepEqual([device, backend, socket, queues.length], ['vhost-user', 'shared-memory', VHOST_USER_SOCKET, 1]);
    const words = withoutVectors(qemuVhostUserArguments(VHOST_USER_SOCKET, 1));
    await boot([...SHARED_MEMORY, ...words]);
    await lab.heard('link-up', ({ data }) => data?.['interface'] === 'vm1');
    assert.match(await vm.run('/up'), /^lease 10\.1\.0\.1\d\d\/24 10\.1\.0\.1 /m);
    assert.match(await vm.run('ping -c 2 10.1.0.2'), /2 packets received/);
    const reader = await red.serve();
    ip('addr', 'add', `${SERVER}/32`, 'dev', 'lo');
    const server = await serveHere();
    assert.match(await vm.run('ip link show eth0'), /mtu 1500/);
    await vm.run(`dd if=/dev/urandom of=/body bs=1000 count=${BODY_BYTES / 1000} 2>/dev/null`);
    const [sum] = (await vm.run('sha256sum /body')).split(' ');
    const told = await vm.run("(echo '{}'; cat /body) | nc 10.1.0.2 9");
    assert.deepEqual(JSON.parse(told), { bytes: BODY_BYTES, sha256: sum });
    reader.kill('SIGKILL');
    const hardware = new Map(lab.network.hardware().map((each) => [each.name, each]));
    assert.deepEqual(hardware.get('vm1')!.offloads, ['checksum', 'tcp-segmentation']);
    // The tap has no offloads: what the machine leaves uncut is cut in front of it.
    assert.ok(hardware.get('tap0')!.software.segmented > BODY_BYTES / 65_536);
    for (const rxMode of ['polling', 'adaptive', 'interrupt']) {
      await lab.apply(EXAMPLE.replace('vm1.sock }', `vm1.sock, rxMode: ${rxMode} }`));
      assert.equal(lab.network.hardware().find(({ name }) => name === 'vm1')?.queues[0]?.mode, rxMode);
      assert.equal(lab.interface('vm1').linkUp, true, 'the machine stays');
      assert.match(await vm.run('ping -c 1 10.1.0.2'), /1 packets received/);
    }
    // Longer than a time-out of TCP, in the middle of a download: nothing is lost.
    const counters = (): InterfaceView['counters'] => lab.interface('vm1').counters;
    const before = counters();
    const download = vm.run(`echo ${BODY_BYTES} | nc ${SERVER} 19 | sha256sum`);
    // Not its flow: of a fast machine that may have ended before anybody looks.
    await eventually('it has begun', () => counters().txBytes > before.txBytes + BEGUN_BYTES);
    vm.program.kill('SIGSTOP');
    await sleep(PAUSE_MS);
    vm.program.kill('SIGCONT');
    assert.equal((await download).split(' ')[0], patternHash(BODY_BYTES));
    assert.equal(counters().txErrors, before.txErrors);
    server.kill('SIGKILL');
    vm.program.kill('SIGKILL');
    await lab.heard('link-down', ({ data }) => data?.['interface'] === 'vm1');
    assert.equal(lab.interface('vm1').linkUp, false);
  });

  it('uses several pairs of queues, and captures see all of them', async () => {
    await lab.apply(EXAMPLE.replace('vm1.sock }', 'vm1.sock, queues: 2 }'));
    assert.equal(lab.network.hardware().find(({ name }) => name === 'vm1')?.queues.length, 2);
    await boot([...SHARED_MEMORY, '-smp', '2', ...withoutVectors(qemuVhostUserArguments(VHOST_USER_SOCKET, 2))]);
    assert.match(await vm.run('/up'), /^lease 10\.1\.0\.1\d\d\/24/m);
    assert.match(await vm.run('ls /sys/class/net/eth0/queues'), /tx-1/);
    const file = join(folder, 'vm1.pcap');
    const started = lab.network.startCapture({ name: 'pairs', interface: 'vm1', file, filter: 'icmp' });
    assert.ok(started.ok, JSON.stringify(started));
    const pings = `for i in $(seq ${PINGS}); do ping -c 1 10.1.0.2 > /ping-$i & done; wait; cat /ping-* | grep -c '1 packets received'`;
    assert.equal(Number(await vm.run(pings)), PINGS);
    const stopped = await lab.network.stopCapture('pairs');
    assert.ok(stopped.ok && stopped.value.packets === 2 * PINGS, JSON.stringify(stopped));
    vm.program.kill('SIGKILL');
  });

  it('is routed to a namespace, behind an interface of its own', async () => {
    await lab.apply(ROUTED);
    await boot();
    assert.match(await vm.run('/up'), /^lease 10\.7\.0\.\d+\/24 10\.7\.0\.1 /m);
    assert.match(await vm.run('ping -c 2 10.8.0.2'), /2 packets received/);
    await vm.run('ip link set eth0 mtu 1500');
    assert.equal(events('link-up'), 4);
  });

  it('lets no other take its place', async () => {
    const failure = await lab.refuse(`${ROUTED}  vm1:\n    stream: { socket: /none/vm1.sock }\n`);
    assert.equal(failure.code, 'socket-folder-missing');
    const second = new Program([...qemuWords(image as Image), ...qemuArguments(SOCKET)], { timeoutMs: 0 });
    await lab.heard('guest-refused');
    second.kill('SIGKILL');
    assert.match(await vm.run('ping -c 1 10.8.0.2'), /1 packets received/);
  });

  it('leaves no socket behind', async () => {
    await lab.apply('interfaces: {}');
    for (const path of [SOCKET, VHOST_USER_SOCKET]) assert.ok(!existsSync(path));
    vm.program.kill('SIGKILL');
  });
});
