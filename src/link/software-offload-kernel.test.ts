/**
 * The kernel as an oracle: it bridges a large frame between a tap and one without offloads, and must cut it as we do, byte for byte.
 * IPv6 extension headers are not among them: Linux 6.18 lets no such large frame through.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type LargeFrame, ORDINARY, putLargeFrame, twoArenas } from '../packet/large-frame-fixture.test.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { VNET_HEADER_BYTES } from '../packet/packets.ts';
import { LinuxSys } from '../sys/linux.ts';
import { inOwnNamespace, ip } from '../sys/own-namespace-fixture.test.ts';
import { IFF, tunOpen, tunSetVnetHeaderSize } from '../sys/tun.ts';
import * as tcp from '../wire/tcp.ts';
import type { Link } from './link.ts';
import { SoftwareOffload } from './software-offload.ts';

const UDP: LargeFrame = { ...ORDINARY, isTcp: false, tcpFlags: 0, segmentBytes: 1400 };
const LARGEST = Uint8Array.from({ length: 65_000 }, (_, i) => (i * 7) & 0xff);
const SHORT = ORDINARY.payload.slice(0, 101);

const FRAMES: Readonly<Record<string, LargeFrame>> = {
  'TCP over IPv4': ORDINARY,
  'TCP over IPv6': { ...ORDINARY, isIpv6: true, segmentBytes: 1428 },
  'the most TCP': { ...ORDINARY, payload: LARGEST },
  'TCP with CWR, FIN and PSH': { ...ORDINARY, tcpFlags: tcp.CWR | tcp.ECE | tcp.ACK | tcp.FIN | tcp.PSH },
  'TCP with all options and IPv4 options': { ...ORDINARY, tcpOptions: 10, networkOptions: [2], segmentBytes: 999 },
  'TCP that fits one segment': { ...ORDINARY, payload: SHORT },
  'UDP over IPv4': UDP,
  'UDP over IPv6': { ...UDP, isIpv6: true },
  'UDP that fits one datagram': { ...UDP, payload: SHORT },
};

inOwnNamespace(import.meta.url, 'Linux cuts frames as we do', () => {
  const sys = new LinuxSys();
  const { memory, packets, segments } = twoArenas();
  const arenaMemory = sys.register(memory);
  const vector = new Int32Array(256);
  const vectorMemory = sys.register(vector);

  // The kernel's own IPv6 would speak in between.
  writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
  ip('link', 'add', 'lan', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
  const from = openTap('from');
  const to = openTap('to');
  ip('link', 'set', 'lan', 'up');

  describe('Linux cuts', () => {
    for (const [name, large] of Object.entries(FRAMES)) {
      it(name, () => {
        packets.reset();
        const packet = putLargeFrame(packets, large);
        vector[0] = packets.start[packet] - VNET_HEADER_BYTES;
        vector[1] = packets.length[packet] + VNET_HEADER_BYTES;
        assert.equal(sys.writeFrames(from, arenaMemory, vectorMemory, 0, 1), 1);
        const theirs = read();
        const ours: Buffer[] = [];
        const link = new SoftwareOffload(recorder(ours), segments);
        assert.equal(link.transmit(packets, Int32Array.of(packet), 1), 1);
        assert.deepEqual(theirs, ours);
      });
    }
  });

  function openTap(name: string): number {
    const fd = tunOpen(name, IFF.TAP | IFF.NO_PI | IFF.VNET_HDR);
    assert.ok(fd >= 0 && tunSetVnetHeaderSize(fd, VNET_HEADER_BYTES) === 0);
    ip('link', 'set', name, 'master', 'lan', 'up');
    return fd;
  }

  /** What the kernel has for the second tap. */
  function read(): Buffer[] {
    const frames: Buffer[] = [];
    for (;;) {
      const count = sys.readFrames(to, arenaMemory, 128 * 1024, 256 * 1024, 2048, vectorMemory, 0, 32);
      assert.ok(count >= 0);
      if (count === 0) return frames;
      for (let i = 0; i < count; i++) {
        const [start = 0, length = 0] = vector.subarray(2 * i, 2 * i + 2);
        frames.push(Buffer.from(memory.slice(start, start + length)));
      }
    }
  }

  function recorder(frames: Buffer[]): Link {
    return {
      name: 'recorder',
      offload: NO_OFFLOAD,
      receive: () => 0,
      transmit: ({ bytes, start, length }, frame, count) => {
        for (const packet of frame.subarray(0, count)) {
          frames.push(Buffer.from(bytes.slice(start[packet] - VNET_HEADER_BYTES, start[packet] + length[packet])));
        }
        return count;
      },
      close() {},
    };
  }
});
