/**
 * Views that notice who reads or writes where it must not: an arena is one big memory, in which a read behind a packet's end finds other packets and fails no one.
 */
import { type Packets, VNET_HEADER_BYTES } from '#tapster/packet/packets.js';

/** A view of bytes that lie at the very end of their memory: a read behind them throws. */
export function exactView(bytes: Uint8Array): DataView {
  return new DataView(bytes.slice().buffer);
}

/** A DataView that asks `touch` before every access. */
abstract class WatchedView extends DataView<ArrayBuffer> {
  protected abstract touch(at: number, bytes: number): void;

  override getInt8(at: number): number {
    this.touch(at, 1);
    return super.getInt8(at);
  }
  override getUint8(at: number): number {
    this.touch(at, 1);
    return super.getUint8(at);
  }
  override getInt16(at: number, little?: boolean): number {
    this.touch(at, 2);
    return super.getInt16(at, little);
  }
  override getUint16(at: number, little?: boolean): number {
    this.touch(at, 2);
    return super.getUint16(at, little);
  }
  override getInt32(at: number, little?: boolean): number {
    this.touch(at, 4);
    return super.getInt32(at, little);
  }
  override getUint32(at: number, little?: boolean): number {
    this.touch(at, 4);
    return super.getUint32(at, little);
  }
  override setUint8(at: number, value: number): void {
    this.touch(at, 1);
    super.setUint8(at, value);
  }
  override setUint16(at: number, value: number, little?: boolean): void {
    this.touch(at, 2);
    super.setUint16(at, value, little);
  }
  override setInt32(at: number, value: number, little?: boolean): void {
    this.touch(at, 4);
    super.setInt32(at, value, little);
  }
  override setUint32(at: number, value: number, little?: boolean): void {
    this.touch(at, 4);
    super.setUint32(at, value, little);
  }
}

/** Bytes somewhere in a larger memory: reads in front of them and behind them throw, and all are counted, so that a test can bound the work. */
export class WindowView extends WatchedView {
  accesses: number = 0;
  readonly from: number;
  readonly to: number;

  constructor(bytes: Uint8Array, from: number = 21) {
    const memory = new Uint8Array(from + bytes.length + 64).fill(0xa5);
    memory.set(bytes, from);
    super(memory.buffer);
    this.from = from;
    this.to = from + bytes.length;
  }

  protected override touch(at: number, bytes: number): void {
    this.accesses++;
    if (at < this.from || at + bytes > this.to) {
      throw new RangeError(`access to ${bytes} bytes at ${at - this.from} of a packet with ${this.to - this.from}`);
    }
  }
}

/** What links may leave free in front of what they receive, for a link around them. */
const HEADROOM_BYTES = 14;

/**
 * The view of an arena: what is in no packet, or half in one, may not be touched. Into what is free datagrams are read from sockets, several at once, and get their headers before they are made packets, when
 * fragments of earlier ones may lie behind them; so what is in no packet at all is allowed, but while `sealed`: in a graph nothing is there but packets.
 */
export class ArenaView extends WatchedView {
  sealed: boolean = false;
  readonly #packets: Packets;
  #last: number = 0;

  constructor(packets: Packets) {
    super(packets.bytes.buffer as ArrayBuffer);
    this.#packets = packets;
  }

  protected override touch(at: number, bytes: number): void {
    if (this.#isInside(this.#last, at, bytes)) return;
    for (let packet = this.#packets.count - 1; packet >= 0; packet--) {
      if (!this.#isInside(packet, at, bytes)) continue;
      this.#last = packet;
      return;
    }
    if (!this.sealed && !this.#touchesAny(at, bytes)) return;
    throw new RangeError(`access to ${bytes} bytes at ${at}, which are in none of ${this.#packets.count} packets`);
  }

  #touchesAny(at: number, bytes: number): boolean {
    const { count, length, start } = this.#packets;
    for (let packet = 0; packet < count; packet++) {
      const from = start[packet]!;
      if (at < from + length[packet]! && at + bytes > from - VNET_HEADER_BYTES) return true;
    }
    return false;
  }

  #isInside(packet: number, at: number, bytes: number): boolean {
    if (packet >= this.#packets.count) return false;
    const start = this.#packets.start[packet]! - (this.sealed ? 0 : HEADROOM_BYTES);
    return (
      at >= start - VNET_HEADER_BYTES && at + bytes <= this.#packets.start[packet]! + this.#packets.length[packet]!
    );
  }
}

/** Makes an arena guarded. To be called before anything holds its view. */
export function guard(packets: Packets): void {
  (packets as { view: DataView }).view = new ArenaView(packets);
}
