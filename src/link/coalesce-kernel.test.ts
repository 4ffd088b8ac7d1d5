/**
 * The kernel as an oracle: a tap with IFF_NAPI takes frames as a driver does, joins them (GRO) and bridges what it made to a tap with segmentation offload. We must have
 * joined the same, byte for byte.
 *
 * Not compared: an identification that stays, which Linux joins and cuts again, since a tap can not be told that segments are to keep it; and a segment with a wrong checksum,
 * which overtakes there what was begun of its stream.
 *
 * What is being joined there is handed on by a timer, or at a tick of the kernel's clock; one in the middle of a vector splits what belongs together, so it is tried again then.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { join, nth, type Piece, type Places } from '../packet/join-fixture.test.ts';
import { ORDINARY } from '../packet/large-frame-fixture.test.ts';
import { VNET_HEADER_BYTES } from '../packet/packets.ts';
import { LinuxSys } from '../sys/linux.ts';
import { inOwnNamespace, ip } from '../sys/own-namespace-fixture.test.ts';
import { IFF, negotiateOffloads, tunOpen, tunSetVnetHeaderSize } from '../sys/tun.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';

/** Of linux/if_tun.h. */
const IFF_NAPI = 0x0010;
const FLUSH_NS = 20_000_000;
const FLUSH_MS = 60;
const ATTEMPTS = 6;

const three = [0, 1, 2];
const IPV6 = { isIpv6: true };

const VECTORS: Readonly<Record<string, readonly Piece[]>> = {
  'segments of one stream': three.map((n) => nth(n)),
  'segments of IPv6': three.map((n) => nth(n, IPV6)),
  'two streams, in turns': three.flatMap((n) => [nth(n), { ...nth(n, IPV6), stream: 1 }]),
  'a shorter segment, and more': [
    nth(0),
    nth(1, { payload: ORDINARY.payload.slice(0, 50) }),
    nth(2, { sequence: 150 }),
  ],
  'a longer segment, and more': [
    nth(0),
    nth(1, { payload: ORDINARY.payload.slice(0, 150) }),
    nth(2, { sequence: 250 }),
  ],
  PSH: [nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.PSH }), nth(2)],
  FIN: [nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.FIN })],
  ECE: three.map((n) => nth(n, { tcpFlags: tcp.ACK | tcp.ECE })),
  'a pure acknowledgment': [nth(0), nth(1), nth(2, { payload: new Uint8Array() }), nth(2), nth(3)],
  'a gap': [nth(0), nth(1), nth(3, { identification: 2 }), nth(4, { identification: 3 })],
  'another window': withChange(({ view, transport }) => tcp.setWindow(view, transport, 501)),
  'another acknowledgment': withChange(({ view, transport }) => tcp.setAcknowledgment(view, transport, 78)),
  'another timestamp': withChange(({ view, transport }) => view.setUint8(transport + 31, 99)),
  'another time to live': withChange(({ view, network }) => ipv4.setTimeToLive(view, network, 63)),
  'another type of service': withChange(({ view, network }) => ipv4.setTypeOfService(view, network, 3)),
  'another flow label': withChange(({ view, network }) => ipv6.setFlowLabel(view, network, 1), true),
  'another hop limit': withChange(({ view, network }) => ipv6.setHopLimit(view, network, 63), true),
  'a gap in the identifications': [nth(0), nth(1, { identification: 7 })],
  'identifications of what may be fragmented': three.map((n) => ({ ...nth(n), change: mayFragment })),
  'partial checksums': three.map((n) => nth(n, { isPartial: true })),
};

function mayFragment({ view, network }: Places): void {
  ipv4.setFragment(view, network, 0, 0);
}

/** Four segments, of which the last two are changed. */
function withChange(change: (places: Places) => void, isIpv6: boolean = false): Piece[] {
  return [0, 1, 2, 3].map((n) => ({ ...nth(n, { isIpv6 }), ...(n < 2 ? {} : { change }) }));
}

inOwnNamespace(import.meta.url, 'Linux joins segments as we do', () => {
  const sys = new LinuxSys();
  const memory = new Uint8Array(512 * 1024);
  const arenaMemory = sys.register(memory);
  const vector = new Int32Array(256);
  const vectorMemory = sys.register(vector);

  writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
  const { status } = spawnSync('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
  const skip = status === 0 ? false : 'no sysfs of this namespace can be had here';
  ip('link', 'add', 'lan', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
  const from = openTap('from', IFF_NAPI);
  const to = openTap('to', 0);
  assert.ok(negotiateOffloads(to) > 0);
  if (skip === false) {
    writeFileSync('/sys/class/net/from/gro_flush_timeout', String(FLUSH_NS));
    writeFileSync('/sys/class/net/from/napi_defer_hard_irqs', '100');
  }
  ip('link', 'set', 'lan', 'up');

  describe('Linux joins', { skip }, () => {
    for (const [name, pieces] of Object.entries(VECTORS)) {
      it(name, async () => {
        const { before, after } = join(pieces);
        const ours = told(after);
        let theirs: string[] = [];
        for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
          write(before);
          await sleep(FLUSH_MS);
          theirs = told(read());
          if (String(theirs) === String(ours)) return;
        }
        assert.deepEqual(theirs, ours);
      });
    }
  });

  function openTap(name: string, flags: number): number {
    const fd = tunOpen(name, IFF.TAP | IFF.NO_PI | IFF.VNET_HDR | flags);
    assert.ok(fd >= 0 && tunSetVnetHeaderSize(fd, VNET_HEADER_BYTES) === 0);
    ip('link', 'set', name, 'master', 'lan', 'up');
    return fd;
  }

  function write(frames: readonly Uint8Array[]): void {
    let at = 0;
    for (const [i, frame] of frames.entries()) {
      memory.set(frame, at);
      vector.set([at, frame.length], 2 * i);
      at += frame.length;
    }
    assert.equal(sys.writeFrames(from, arenaMemory, vectorMemory, 0, frames.length), frames.length);
  }

  /** What the kernel has for the second tap. */
  function read(): Uint8Array[] {
    const count = sys.readFrames(to, arenaMemory, 0, memory.length, 70_000, vectorMemory, 0, 64);
    assert.ok(count >= 0);
    return Array.from({ length: count }, (_, i) => {
      const [start = 0, length = 0] = vector.subarray(2 * i, 2 * i + 2);
      return memory.slice(start, start + length);
    });
  }
});

/** Segment sizes and frames, those of IPv6 behind the others: between streams the order is anybody's. */
function told(frames: readonly Uint8Array[]): string[] {
  const isIpv6 = (frame: Uint8Array) => Number(frame[VNET_HEADER_BYTES + 12] === 0x86);
  return frames
    .toSorted((a, b) => isIpv6(a) - isIpv6(b))
    .map((frame) => {
      const segmentBytes = vnet.gsoSize(new DataView(frame.buffer), 0);
      return `${segmentBytes}: ${Buffer.from(frame.subarray(VNET_HEADER_BYTES)).toString('hex')}`;
    });
}
