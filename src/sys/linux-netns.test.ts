/**
 * Taps and ping sockets against the kernel, in a network namespace of their own: this file runs itself once more under unshare(1), as
 * root there, and the inner run holds the tests. What goes wrong inside is printed by the outer test.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRNO } from './errno.ts';
import { LinuxSys } from './linux.ts';
import { UDP } from './options.ts';
import { DATAGRAM_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from './sys.ts';
import { IFF, negotiateOffloads, TUN_F, tunFeatures, tunInterfaceName, tunOpen, tunSetOffload } from './tun.ts';

const INNER = 'TAPSTER_TEST_NETNS';

const sys = new LinuxSys();
const bytes: Uint8Array = new Uint8Array(1024 * 1024);
const view: DataView = new DataView(bytes.buffer);
const memory: number = sys.register(bytes);
const vector: Int32Array = new Int32Array(128);
const vectorMemory: number = sys.register(vector);
const records: Int32Array = new Int32Array(16 * DATAGRAM_WORDS);
const recordMemory: number = sys.register(records);

/** The tap's own address is 10.77.0.1; 10.77.0.2 is "behind" it. */
const OURS = 0x0a4d0001;
const THEIRS = 0x0a4d0002;
const OUR_MAC = '02:00:00:00:00:01';
const THEIR_MAC = '02:00:00:00:00:02';

/** Layout of a frame here: virtio-net header, Ethernet, IPv4 without options, UDP. */
const VNET_BYTES = 12;
const IP_AT: number = VNET_BYTES + 14;
const UDP_AT: number = IP_AT + 20;
const PAYLOAD_AT: number = UDP_AT + 8;

/** linux/virtio_net.h */
const NEEDS_CSUM = 1;
const GSO_UDP_L4 = 5;

if (process.env[INNER] === undefined) {
  describe('LinuxSys in a namespace of its own', () => {
    it('reads and writes taps, negotiates offloads, pings', (context) => {
      const setUp =
        'ip link set lo up && echo 0 0 > /proc/sys/net/ipv4/ping_group_range && ' +
        'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 && exec "$@"';
      const user = process.getuid!() === 0 ? [] : ['--user', '--map-root-user'];
      const enter = [...user, '--net', 'sh', '-c', setUp, 'sh'];
      const probe = spawnSync('unshare', [...enter, 'sh', '-c', ': <> /dev/net/tun'], { encoding: 'utf8' });
      if (probe.status !== 0) {
        context.skip(`no network namespace with a tun device here: ${probe.error?.message ?? probe.stderr.trim()}`);
        return;
      }
      const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
      const inner = spawnSync('unshare', [...enter, process.execPath, fileURLToPath(import.meta.url)], {
        encoding: 'utf8',
        env: { ...environment, [INNER]: '1' },
      });
      assert.equal(inner.status, 0, `${inner.stdout}${inner.stderr}`);
    });
  });
} else {
  describe('taps', tapTests);
  describe('ping sockets', pingTests);
}

function succeed(result: number): number {
  assert.ok(result >= 0, `errno ${-result}`);
  return result;
}

function ip(command: string): void {
  const result = spawnSync('ip', command.split(' '), { encoding: 'utf8' });
  assert.equal(result.status, 0, `ip ${command}: ${result.stderr}`);
}

/** A tap with virtio-net header that is up, has an address, and a neighbour behind it. */
function openTap(name: string): number {
  const fd = succeed(tunOpen(name, IFF.TAP | IFF.NO_PI | IFF.VNET_HDR));
  ip(`address add 10.77.0.1/24 dev ${name}`);
  ip(`link set ${name} address ${OUR_MAC} up`);
  ip(`neighbour add 10.77.0.2 lladdr ${THEIR_MAC} dev ${name}`);
  return fd;
}

function udpSocket(): { fd: number; port: number } {
  const fd = succeed(sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0));
  const address = Int32Array.of(0, 0, 0xffff, OURS, 0, 0);
  succeed(sys.bind(fd, address));
  succeed(sys.localAddress(fd, address));
  return { fd, port: address[4] };
}

/** Sends one UDP datagram of `length` bytes to the far side of the tap. */
function sendDatagram(fd: number, length: number, segment: number = 0): void {
  records.set([500_000, length, segment, -1, -1, 0, 0, 0, 0xffff, THEIRS, 9, 0]);
  assert.equal(sys.sendDatagrams(fd, memory, recordMemory, 0, 1), 1);
}

function tapTests(): void {
  it('have the name that was asked for, or one by the kernel', () => {
    const fd = succeed(tunOpen('tapster%d', IFF.TAP | IFF.NO_PI | IFF.VNET_HDR));
    assert.equal(tunInterfaceName(fd), 'tapster0');
    assert.equal(tunOpen('tapster0', IFF.TAP | IFF.NO_PI | IFF.VNET_HDR), -ERRNO.EBUSY);
    assert.equal(tunOpen('tapster0', IFF.TAP | IFF.NO_PI | IFF.VNET_HDR | IFF.MULTI_QUEUE), -ERRNO.EINVAL);
    assert.equal(tunOpen('a-name-that-is-too-long', IFF.TAP), -ERRNO.EINVAL);
    assert.equal(tunOpen('cut\0short', IFF.TAP), -ERRNO.EINVAL);
    assert.equal(tunOpen('lo', IFF.TAP | IFF.NO_PI), -ERRNO.EINVAL);
    const features = tunFeatures(fd);
    assert.equal(features & (IFF.TAP | IFF.NO_PI | IFF.VNET_HDR), IFF.TAP | IFF.NO_PI | IFF.VNET_HDR);
    const socket = succeed(sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0));
    assert.equal(tunInterfaceName(socket), -ERRNO.ENOTTY);
    sys.close(socket);
    assert.equal(sys.writeFrames(fd, memory, vectorMemory, 0, 1), -ERRNO.EINVAL, 'a frame without its header');
    vector.set([0, 60]);
    assert.equal(sys.writeFrames(fd, memory, vectorMemory, 0, 1), -ERRNO.EIO, 'the interface is down');
    assert.equal(sys.readFrames(fd, memory, 0, 4096, 2048, vectorMemory, 0, 2), 0);
    sys.close(fd);
  });

  it('are read in packed frames, as many as fit', () => {
    const tap = openTap('tap0');
    const { fd, port } = udpSocket();
    for (let i = 0; i < 6; i++) {
      bytes[500_000] = i;
      sendDatagram(fd, 101 + i);
    }
    assert.equal(sys.readFrames(tap, memory, 1001, 100_000, 2048, vectorMemory, 4, 3), 3);
    assert.deepEqual([...vector.subarray(4, 10)], [1004, 155, 1160, 156, 1316, 157]);
    for (const [index, start] of [1004, 1160, 1316].entries()) {
      assert.equal(view.getUint16(start + VNET_BYTES + 12), 0x0800);
      assert.equal(view.getInt32(start + IP_AT + 16), THEIRS);
      assert.equal(view.getUint16(start + UDP_AT), port);
      assert.equal(bytes[start + PAYLOAD_AT], index);
    }
    // Room for two frames of 2048 bytes, and not for a third.
    assert.equal(sys.readFrames(tap, memory, 0, 160 + 2048, 2048, vectorMemory, 0, 64), 2);
    assert.equal(sys.readFrames(tap, memory, 0, 100_000, 2048, vectorMemory, 0, 64), 1);
    assert.equal(sys.readFrames(tap, memory, 0, 100_000, 2048, vectorMemory, 0, 64), 0);
    for (let i = 0; i < 2; i++) sendDatagram(fd, 101 + i);
    assert.equal(sys.readFrames(tap, memory, 1001, 100_000, 2048, vectorMemory, 0, 64, 14), 2);
    assert.deepEqual([...vector.subarray(0, 4)], [1018, 155, 1190, 156], 'with room in front of each');
    sendDatagram(fd, 101);
    assert.equal(sys.readFrames(tap, memory, 0, 13 + 2048, 2048, vectorMemory, 0, 64, 14), 0);
    assert.equal(sys.readFrames(tap, memory, 0, 14 + 2048, 2048, vectorMemory, 0, 64, 14), 1);
    assert.throws(() => sys.readFrames(tap, memory, 0, 100, 10, vectorMemory, 0, 1, -1), RangeError);
    assert.throws(() => sys.readFrames(tap, memory, 0, bytes.length + 1, 2048, vectorMemory, 0, 1), RangeError);
    assert.throws(() => sys.readFrames(tap, memory, 11, 10, 2048, vectorMemory, 0, 1), RangeError);
    assert.throws(() => sys.readFrames(tap, memory, 0, 100, 0, vectorMemory, 0, 1), RangeError);
    assert.equal(sys.readFrames(-1, memory, 0, 100, 10, vectorMemory, 0, 1), -ERRNO.EBADF);
    sys.close(fd);
    sys.close(tap);
  });

  it('take frames that sockets then receive', () => {
    const tap = openTap('tap0');
    const { fd, port } = udpSocket();
    for (let i = 0; i < 3; i++) {
      vector.set([i * 100, writeUdpFrame(i * 100, port, 10 + i)], 2 * i);
    }
    assert.equal(sys.writeFrames(tap, memory, vectorMemory, 0, 3), 3);
    assert.equal(sys.receiveDatagrams(fd, memory, 1000, 5000, 0, 500, recordMemory, 0, 8), 3);
    assert.deepEqual(
      [1, 13, 25].map((at) => records[at]),
      [10, 11, 12],
    );
    assert.deepEqual([...records.subarray(6, 11)], [0, 0, 0xffff, THEIRS, 9]);
    // The second frame is too short for its header: the first one counts, the failure comes first in the next call.
    vector[3] = 4;
    assert.equal(sys.writeFrames(tap, memory, vectorMemory, 0, 3), 1);
    assert.equal(sys.writeFrames(tap, memory, vectorMemory, 2, 2), -ERRNO.EINVAL);
    sys.close(fd);
    sys.close(tap);
  });

  it('hand over unfinished frames as negotiated', () => {
    const tap = openTap('tap0');
    const { fd } = udpSocket();
    const read = (): number => sys.readFrames(tap, memory, 0, 200_000, 66_000, vectorMemory, 0, 64);

    assert.equal(negotiateOffloads(tap, 0), 0);
    sendDatagram(fd, 1000);
    assert.equal(read(), 1);
    assert.equal(bytes[0], 0);

    assert.equal(negotiateOffloads(tap, TUN_F.CSUM), TUN_F.CSUM);
    sendDatagram(fd, 1000);
    assert.equal(read(), 1);
    assert.equal(bytes[0], NEEDS_CSUM);
    assert.equal(view.getUint16(6, true), UDP_AT - VNET_BYTES, 'where the checksum starts, little endian');
    sendDatagram(fd, 2500, 1000);
    assert.equal(read(), 3);

    const offloads = negotiateOffloads(tap);
    assert.equal(offloads & TUN_F.CSUM, TUN_F.CSUM);
    if ((offloads & TUN_F.USO4) !== 0) {
      succeed(sys.setOption(fd, 17, UDP.GRO, 0));
      sendDatagram(fd, 2500, 1000);
      assert.equal(read(), 1);
      assert.deepEqual([bytes[1], view.getUint16(4, true), vector[1]], [GSO_UDP_L4, 1000, PAYLOAD_AT + 2500]);
    }
    assert.equal(tunSetOffload(tap, 1 << 30), -ERRNO.EINVAL);
    assert.ok(negotiateOffloads(fd) < 0, 'a socket has no offloads to negotiate');
    sys.close(fd);
    sys.close(tap);
  });
}

/** Writes a UDP datagram of `length` zero bytes from port 9 behind the tap to our port; returns the bytes of the frame. */
function writeUdpFrame(at: number, port: number, length: number): number {
  bytes.fill(0, at, at + PAYLOAD_AT + length);
  bytes.set([2, 0, 0, 0, 0, 1], at + VNET_BYTES);
  view.setUint16(at + VNET_BYTES + 12, 0x0800);
  const header = at + IP_AT;
  view.setUint16(header, 0x4500);
  view.setUint16(header + 2, 28 + length);
  view.setUint16(header + 8, (64 << 8) | 17);
  view.setInt32(header + 12, THEIRS);
  view.setInt32(header + 16, OURS);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(header + i);
  view.setUint16(header + 10, ~((sum & 0xffff) + (sum >> 16)));
  view.setUint16(at + UDP_AT, 9);
  view.setUint16(at + UDP_AT + 2, port);
  view.setUint16(at + UDP_AT + 4, 8 + length);
  return PAYLOAD_AT + length;
}

function pingTests(): void {
  for (const [name, family] of Object.entries(SOCKET_FAMILY)) {
    it(`exchange echoes, ${name}`, () => {
      const inet = family === SOCKET_FAMILY.INET;
      const loopback = inet ? [0, 0, 0xffff, 0x7f000001] : [0, 0, 0, 1];
      const protocol = inet ? SOCKET_PROTOCOL.ICMP : SOCKET_PROTOCOL.ICMPV6;
      const fd = succeed(sys.socket(family, SOCKET_TYPE.DGRAM, protocol));
      // Type, code, checksum (the kernel's), identifier (the kernel's), sequence 3, payload.
      bytes.set([inet ? 8 : 128, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62], 600);
      records.set([600, 10, 0, 5, -1, 0, ...loopback, 0, 0]);
      assert.equal(sys.sendDatagrams(fd, memory, recordMemory, 0, 1), 1);
      assert.equal(sys.receiveDatagrams(fd, memory, 0, 500, 0, 200, recordMemory, 0, 2), 1);
      assert.equal(records[1], 10);
      assert.equal(bytes[0], inet ? 0 : 129);
      assert.deepEqual([...bytes.subarray(6, 10)], [0, 3, 0x61, 0x62]);
      assert.deepEqual([...records.subarray(6, 10)], loopback);
      sys.close(fd);
    });
  }
}
