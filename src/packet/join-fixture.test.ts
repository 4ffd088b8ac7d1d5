/** Vectors of TCP segments of all shapes, what `Joiner` makes of them, and what a link without offloads would get of that. */
import assert from 'node:assert/strict';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { finishChecksum } from './finish-checksum.ts';
import { Joiner } from './join.ts';
import { type LargeFrame, ORDINARY, putLargeFrame } from './large-frame-fixture.test.ts';
import { NO_PACKET, type Packet, Packets, VNET_HEADER_BYTES } from './packets.ts';
import { Segmenter } from './segment.ts';

export interface Places {
  readonly view: DataView;
  readonly header: number;
  readonly start: number;
  readonly network: number;
  readonly transport: number;
  readonly end: number;
}

/** A frame of a vector. */
export interface Piece {
  readonly frame?: Partial<LargeFrame>;
  /** Whether the virtio-net header asks for it to be cut. */
  readonly isLarge?: boolean;
  /** Both ports. */
  readonly stream?: number;
  /** Done in front of the checksums, and behind them. */
  readonly change?: (places: Places) => void;
  readonly spoil?: (places: Places) => void;
}

const SEGMENT: LargeFrame = {
  ...ORDINARY,
  tcpFlags: tcp.ACK,
  sequence: 0,
  identification: 0,
  payload: ORDINARY.payload.slice(0, 100),
  segmentBytes: 100,
  isPartial: false,
};

/** The nth segment of 100 bytes of a stream. */
export function nth(n: number, frame: Partial<LargeFrame> = {}): Piece {
  return { frame: { sequence: 100 * n, identification: n, ...frame } };
}

export function put(packets: Packets, piece: Piece): Packet {
  const { view } = packets;
  const large = { ...SEGMENT, ...piece.frame };
  const packet = putLargeFrame(packets, large);
  const start = packets.start[packet];
  const network = start + ethernet.HEADER_BYTES + 4 * large.vlanTags;
  const transport =
    network +
    (large.isIpv6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES) +
    8 * large.networkOptions.reduce((sum, each) => sum + each, 0);
  const end = start + packets.length[packet] - large.paddingBytes;
  const places = { view, header: start - VNET_HEADER_BYTES, start, network, transport, end };
  if (large.isTcp) {
    tcp.setSourcePort(view, transport, 4000 + (piece.stream ?? 0));
    piece.change?.(places);
    if (large.isPartial) tcp.writePartialChecksum(view, network, transport, end);
    else tcp.writeChecksum(view, network, transport, end);
    if (!large.isIpv6) ipv4.writeChecksum(view, network);
  }
  if (piece.isLarge !== true) vnet.setGso(view, places.header, vnet.GSO_NONE, 0, 0);
  if (!large.isPartial && piece.isLarge !== true) vnet.setFlags(view, places.header, 0);
  piece.spoil?.(places);
  return packet;
}

/** A vector as it is, and what becomes of it, each frame with its virtio-net header in front. */
interface Outcome {
  readonly before: Uint8Array[];
  readonly after: Uint8Array[];
  /** How many frames are in each. */
  readonly frames: number[];
}

export function join(pieces: readonly Piece[]): Outcome {
  const { packets, segments } = arenas();
  const vector = Int32Array.from(pieces, (piece) => put(packets, piece));
  return joinVector(packets, segments, vector);
}

export function joinVector(packets: Packets, into: Packets, vector: Int32Array): Outcome {
  const source = packets.bytes.slice(0, packets.used);
  const joiner = new Joiner(into, 2048);
  const fewer = joiner.plan(packets, vector, vector.length);
  const frames = Array.from(vector, (_, i) => joiner.framesAt(i));
  assert.equal(
    frames.reduce((sum, each) => sum + each, 0),
    vector.length,
  );
  assert.equal(frames.filter((each) => each === 0).length, fewer);
  const after: Uint8Array[] = [];
  for (const [i, count] of frames.entries()) {
    if (count === 1) after.push(bytesOf(packets, vector[i]));
    if (count <= 1) continue;
    let packet = joiner.join(i);
    if (packet === NO_PACKET) {
      into.reset();
      packet = joiner.join(i);
    }
    after.push(bytesOf(into, packet));
  }
  assert.equal(Buffer.compare(packets.bytes.subarray(0, source.length), source), 0, 'the source is only read');
  return {
    before: Array.from(vector, (packet) => bytesOf(packets, packet)),
    after,
    frames: frames.filter((each) => each > 0),
  };
}

export function bytesOf({ bytes, start, length }: Packets, packet: Packet): Uint8Array {
  return bytes.slice(start[packet] - VNET_HEADER_BYTES, start[packet] + length[packet]);
}

const { packets: PACKETS, segments: INTO } = ((): { packets: Packets; segments: Packets } => {
  const memory = new Uint8Array(1024 * 1024);
  return {
    packets: new Packets(512 * 1024, 2048, memory),
    segments: new Packets(512 * 1024, 2048, memory, 512 * 1024),
  };
})();

/** Emptied, with bytes in them that must not come out. */
export function arenas(): { packets: Packets; segments: Packets } {
  PACKETS.reset();
  INTO.reset();
  INTO.bytes.fill(0xaa);
  return { packets: PACKETS, segments: INTO };
}

/** What a link without offloads would get of these frames: all cut, all sums complete, padding and virtio-net headers gone. */
export function cut(frames: readonly Uint8Array[]): Uint8Array[] {
  const { packets, segments } = arenas();
  const segmenter = new Segmenter(segments);
  return frames.flatMap((frame) => {
    packets.reset();
    segments.reset();
    const packet = packets.allocate(frame.length - VNET_HEADER_BYTES);
    packets.bytes.set(frame, packets.start[packet] - VNET_HEADER_BYTES);
    const { view } = packets;
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    if (vnet.gsoType(view, header) === vnet.GSO_NONE) {
      if ((vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) !== 0) finishChecksum(packets, packet);
      return [bytesOf(packets, packet).subarray(VNET_HEADER_BYTES)];
    }
    const made: Uint8Array[] = [];
    for (let left = segmenter.begin(packets, packet); left > 0; left--)
      made.push(bytesOf(segments, segmenter.next(false)).subarray(VNET_HEADER_BYTES));
    assert.ok(made.length > 0);
    return made;
  });
}
