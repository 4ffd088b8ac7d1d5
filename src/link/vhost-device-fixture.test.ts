/** The kernel's side of a vhost-net link, written down the plain way from virtio 1.2, and the calls by which a link reaches it. */
import assert from 'node:assert/strict';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { VhostNetLink, type VhostNetRing, vhostNetLayout } from './vhost-net.ts';

const POLL_FD = 1000;
const CALL_FD = 1001;
const RECEIVE_KICK_FD = 1002;
const TRANSMIT_KICK_FD = 1003;
const DESCRIPTORS: readonly number[] = [900, POLL_FD, CALL_FD, RECEIVE_KICK_FD, TRANSMIT_KICK_FD];

/** Event descriptors and the poll set around them; everything else as `SimulatedSys` has it. */
class VhostSys extends SimulatedSys {
  readonly kicks: number[] = [];
  readonly closed: number[] = [];
  called: boolean = false;
  failed: boolean = false;

  override write(fd: number, memory: number, at: number, length: number): number {
    if (fd === CALL_FD) this.called = true;
    else this.kicks.push(fd);
    assert.ok(memory >= 0 && at >= 0 && length === 8);
    return length;
  }

  override pollCollect(poll: number, events: Int32Array, eventsMax: number, spinUs: number): number {
    if (poll !== POLL_FD) return super.pollCollect(poll, events, eventsMax, spinUs);
    const tokens = [...(this.called ? [0] : []), ...(this.failed ? [1] : [])];
    this.called = false;
    for (const [i, token] of tokens.entries()) events.set([1, token], 2 * i);
    return tokens.length;
  }

  override close(fd: number): number {
    this.closed.push(fd);
    return 0;
  }

  /** What a poll set that holds the link's descriptor would say. */
  get readable(): boolean {
    return this.called || this.failed;
  }
}

/** One ring as the device sees it. */
class DeviceRing {
  #seen = 0;
  #used = 0;
  readonly #view: DataView;
  readonly #ring: VhostNetRing;
  readonly #eventIndex: boolean;

  constructor(memory: Uint8Array, ring: VhostNetRing, eventIndex: boolean) {
    this.#view = new DataView(memory.buffer);
    this.#ring = ring;
    this.#eventIndex = eventIndex;
  }

  next(): { id: number; at: number; length: number; writable: boolean } | undefined {
    const { available, descriptors, size } = this.#ring;
    const view = this.#view;
    if (view.getUint16(available + 2, true) === this.#seen) return undefined;
    const id = view.getUint16(available + 4 + (this.#seen % size) * 2, true);
    this.#seen = (this.#seen + 1) & 0xffff;
    // Asks to be kicked with the next one.
    if (this.#eventIndex) view.setUint16(this.#ring.used + 4 + size * 8, this.#seen, true);
    const at = Number(view.getBigUint64(descriptors + id * 16, true));
    const flags = view.getUint16(descriptors + id * 16 + 12, true);
    return { id, at, length: view.getUint32(descriptors + id * 16 + 8, true), writable: flags === 2 };
  }

  /** Gives buffers back, all at once. Returns whether the driver wants an interrupt. */
  use(...buffers: readonly (readonly [id: number, length: number])[]): boolean {
    const { available, used, size } = this.#ring;
    const before = this.#used;
    for (const [id, length] of buffers) {
      const entry = used + 4 + (this.#used % size) * 8;
      this.#view.setUint32(entry, id, true);
      this.#view.setUint32(entry + 4, length, true);
      this.#used = (this.#used + 1) & 0xffff;
    }
    this.#view.setUint16(used + 2, this.#used, true);
    if (!this.#eventIndex) return (this.#view.getUint16(available, true) & 1) === 0;
    const wanted = this.#view.getUint16(available + 4 + size * 2, true);
    return ((this.#used - wanted - 1) & 0xffff) < ((this.#used - before) & 0xffff);
  }
}

export interface BenchOptions {
  readonly eventIndex?: boolean;
  readonly receiveSize?: number;
  readonly transmitSize?: number;
  readonly headroom?: number;
  readonly packets?: Packets;
}

/** A link, an arena, and the device. */
export class VhostBench {
  readonly sys: VhostSys = new VhostSys();
  readonly packets: Packets;
  readonly frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly link: VhostNetLink;
  readonly rx: DeviceRing;
  readonly tx: DeviceRing;

  constructor({ eventIndex = true, receiveSize = 8, transmitSize = 8, headroom = 0, packets }: BenchOptions = {}) {
    this.packets = packets ?? new Packets();
    const layout = vhostNetLayout(receiveSize, transmitSize);
    this.memory = new Uint8Array(layout.bytes);
    const { pollFd, callFd, receiveKickFd, transmitKickFd } = {
      ...{ pollFd: POLL_FD, callFd: CALL_FD },
      ...{ receiveKickFd: RECEIVE_KICK_FD, transmitKickFd: TRANSMIT_KICK_FD },
    };
    this.link = new VhostNetLink(this.sys, {
      name: 'eth0',
      offload: NO_OFFLOAD,
      layout,
      memory: this.memory,
      memoryId: this.sys.register(this.memory),
      events: { pollFd, callFd, receiveKickFd, transmitKickFd, eventIndex },
      descriptors: DESCRIPTORS,
      headroom,
    });
    this.rx = new DeviceRing(this.memory, layout.receive, eventIndex);
    this.tx = new DeviceRing(this.memory, layout.transmit, eventIndex);
  }

  /** The kernel has a frame for us. Returns false when there are too few buffers. */
  deviceSends(frame: Uint8Array, header: number = 0): boolean {
    const bytes = new Uint8Array(VNET_HEADER_BYTES + frame.length).fill(header, 0, VNET_HEADER_BYTES);
    bytes.set(frame, VNET_HEADER_BYTES);
    const parts: { id: number; at: number; length: number }[] = [];
    for (let done = 0; done < bytes.length; ) {
      const buffer = this.rx.next();
      if (buffer === undefined) return false;
      assert.ok(buffer.writable);
      const length = Math.min(buffer.length, bytes.length - done);
      this.memory.set(bytes.subarray(done, done + length), buffer.at);
      parts.push({ ...buffer, length });
      done += length;
    }
    new DataView(this.memory.buffer).setUint16(parts[0]!.at + 10, parts.length, true);
    if (this.rx.use(...parts.map(({ id, length }) => [id, length] as const))) this.sys.called = true;
    return true;
  }

  /** What the link has sent: taken, and given back unless `keep`. */
  deviceGets(keep: boolean = false): { id: number; header: Uint8Array; frame: Uint8Array }[] {
    const got: { id: number; header: Uint8Array; frame: Uint8Array }[] = [];
    for (let next = this.tx.next(); next !== undefined; next = this.tx.next()) {
      assert.ok(!next.writable);
      const bytes = this.memory.slice(next.at, next.at + next.length);
      got.push({ id: next.id, header: bytes.subarray(0, 12), frame: bytes.subarray(12) });
      if (!keep) assert.equal(this.tx.use([next.id, 0]), false, 'the transmit ring wants no interrupts');
    }
    return got;
  }

  receive(framesMax: number = FRAME_PACKETS_MAX): number {
    return this.link.receive(this.packets, this.frame, framesMax);
  }

  /** The frames that `receive` gave. */
  received(count: number): Uint8Array[] {
    const { bytes, start, length } = this.packets;
    return [...this.frame.subarray(0, count)].map((packet) =>
      bytes.slice(start[packet], start[packet]! + length[packet]!),
    );
  }

  /** Sends frames of these bytes, virtio-net headers all `header`: how many were taken. */
  send(frames: readonly Uint8Array[], header: number = 0): number {
    for (const [i, frame] of frames.entries()) {
      const packet = this.packets.allocate(frame.length);
      const start = this.packets.start[packet]!;
      this.packets.bytes.set(frame, start);
      this.packets.bytes.fill(header, start - VNET_HEADER_BYTES, start);
      this.frame[i] = packet;
    }
    return this.link.transmit(this.packets, this.frame, frames.length);
  }
}

/** A frame of `length` bytes that tells from any other. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}
