/** A vhost-user front end for tests, and the driver of one pair of queues behind it: what QEMU and a guest are together. Its memory is a file. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Link } from '../link/link.ts';
import { LENT_PIECE_WORDS, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { LinuxSys } from '../sys/linux.ts';
import { mapSharedMemory, type SharedMemory, sharedMemoryCalls } from '../sys/shared-memory.ts';
import { connectUnix, listenUnix, unixCalls } from '../sys/unix-socket.ts';
import { DriverQueue, type QueueLayout, queueLayout } from '../virtio/driver-queue.ts';
import { REQUEST } from '../virtio/vhost-user-message.ts';
import { VhostUserGuest } from './vhost-user-guest.ts';

export const MEMORY_BYTES = 1 << 20;
export const QUEUE_SIZE = 64;
export const BUFFERS_AT = 0x1_0000;
export const GUEST_ADDRESS = 0x1_0000_0000;
const USER_ADDRESS = 0x7f12_3456_0000;
const NEED_REPLY = 8;
const LAYOUT = queueLayout(QUEUE_SIZE);

/** Bits: VERSION_1, EVENT_IDX, INDIRECT_DESC, PROTOCOL_FEATURES, MRG_RXBUF, and all offloads. */
export const ALL_FEATURES: bigint =
  (1n << 32n) | (7n << 28n) | (1n << 15n) | 3n | (3n << 7n) | (3n << 11n) | (7n << 54n);

/** Where frames go: packets of nobody unless said. */
export interface FrontEndPlace {
  readonly sys?: LinuxSys;
  readonly packets?: Packets;
  readonly arenaMemory?: number;
  readonly lends?: boolean;
  readonly memoryBytes?: number;
}

export class FrontEnd {
  readonly sys: LinuxSys;
  readonly packets: Packets;
  readonly frame: Int32Array = new Int32Array(256);
  readonly guest: VhostUserGuest;
  readonly gone: string[] = [];
  readonly logged: string[] = [];
  readonly memoryFd: number;
  readonly shared: SharedMemory;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly fd: number;
  /** By ring: 0 is what the guest receives by. */
  readonly kicks: number[] = [];
  readonly calls: number[] = [];
  drivers: DriverQueue[] = [];
  readonly #folder: string;
  readonly #message: Uint8Array<ArrayBuffer> = new Uint8Array(512);
  readonly #memoryId: number;
  readonly #memoryBytes: number;
  /** They are not those of an engine. */
  readonly #ownsLinks: boolean;
  /** Has the back end handle what it was sent. */
  ready: () => void = () => {};
  #closed: boolean = false;

  constructor(pairs: number = 1, place: FrontEndPlace = {}) {
    this.sys = place.sys ?? new LinuxSys();
    this.packets = place.packets ?? new Packets();
    this.#ownsLinks = place.packets === undefined;
    this.#memoryBytes = place.memoryBytes ?? MEMORY_BYTES;
    this.#folder = mkdtempSync(join(tmpdir(), 'vhost-user-'));
    this.memoryFd = openSync(join(this.#folder, 'memory'), 'w+');
    ftruncateSync(this.memoryFd, this.#memoryBytes);
    const shared = mapSharedMemory(this.memoryFd, 0, this.#memoryBytes);
    assert.ok(typeof shared !== 'number');
    this.shared = shared;
    this.view = shared.windows[0]!.view;
    this.bytes = new Uint8Array(this.view.buffer);
    this.#memoryId = this.sys.register(this.#message);
    const listener = listenUnix(join(this.#folder, 'socket'));
    assert.ok(listener.ok);
    const connected = connectUnix(listener.value.path);
    assert.ok(connected.ok);
    this.fd = connected.value;
    const watching = {
      watch: (_fd: number, _events: number, ready: (events: number) => void) => {
        this.ready = () => ready(1);
        return () => {};
      },
    };
    const options = {
      name: 'vm',
      fd: unixCalls.unixAccept(listener.value.fd),
      pairs,
      arenaMemory: place.arenaMemory ?? this.sys.register(this.packets.bytes),
      lends: place.lends ?? false,
    };
    this.guest = new VhostUserGuest(watching, this.sys, options, {
      gone: (why) => this.gone.push(why),
      polling: () => this.guest.setPolled(this.guest.needsPolling),
      log: (text) => this.logged.push(text),
    });
    closeSync(listener.value.fd);
    for (let ring = 0; ring < 2 * pairs; ring++) {
      this.kicks.push(sharedMemoryCalls.eventCreate());
      this.calls.push(sharedMemoryCalls.eventCreate());
    }
  }

  get link(): VhostUserGuest['pairs'][number] {
    return this.guest.pairs[0]!;
  }

  /** Sends bytes as they are, with a descriptor of 0 and more. */
  send(bytes: Uint8Array, fd: number = -1): void {
    this.#message.set(bytes);
    assert.equal(unixCalls.unixSend(this.fd, this.#memoryId, 0, bytes.length, fd), bytes.length);
  }

  /** Has the back end handle what it was sent. Returns the payload of its answer, if there is one. */
  answer(): DataView | undefined {
    this.ready();
    const got = unixCalls.unixReceive(this.fd, this.#memoryId, 0, 512, new Int32Array(9));
    if (got <= 0) return undefined;
    assert.equal(new DataView(this.#message.buffer).getUint32(4, true), 5, 'a reply of version 1');
    return new DataView(this.#message.slice(12, got).buffer);
  }

  request(request: number, payload: Uint8Array, fd: number = -1, flags: number = 0): DataView | undefined {
    this.send(messageOf(request, payload, flags), fd);
    return this.answer();
  }

  number(request: number, value?: bigint, fd: number = -1): bigint | undefined {
    return this.request(request, value === undefined ? new Uint8Array(0) : u64(value), fd)?.getBigUint64(0, true);
  }

  /** 0: it was done. */
  acknowledged(request: number, payload: Uint8Array, fd: number = -1): bigint | undefined {
    return this.request(request, payload, fd, NEED_REPLY)?.getBigUint64(0, true);
  }

  negotiate(features: bigint = ALL_FEATURES): void {
    assert.equal(
      this.number(REQUEST.SET_PROTOCOL_FEATURES, (1n << 0n) | (1n << 1n) | (1n << 3n) | (1n << 15n)),
      undefined,
    );
    this.number(REQUEST.SET_FEATURES, features);
    this.number(REQUEST.SET_OWNER);
    assert.equal(this.setMemory(), 0n);
  }

  setMemory(bytes: number = this.#memoryBytes): bigint | undefined {
    const table = u64(1n, BigInt(GUEST_ADDRESS), BigInt(bytes), BigInt(USER_ADDRESS), 0n);
    return this.acknowledged(REQUEST.SET_MEM_TABLE, table, this.memoryFd);
  }

  /** Sets both rings of a pair up and starts them; drivers of before are forgotten. */
  start(base: number = 0, eventIndex: boolean = true, pair: number = 0): void {
    for (const ring of [2 * pair, 2 * pair + 1]) {
      const at = this.ringAt(ring);
      if (base === 0) this.drivers[ring] = new DriverQueue(this.bytes, at, QUEUE_SIZE, eventIndex);
      this.request(REQUEST.SET_VRING_NUM, u32(ring, QUEUE_SIZE));
      this.request(REQUEST.SET_VRING_BASE, u32(ring, base));
      this.setAddresses(ring, at);
      this.number(REQUEST.SET_VRING_KICK, BigInt(ring), this.kicks[ring]);
      this.number(REQUEST.SET_VRING_CALL, BigInt(ring), this.calls[ring]);
      this.request(REQUEST.SET_VRING_ENABLE, u32(ring, 1));
    }
  }

  setAddresses(ring: number, at: number, isLogged: boolean = false, layout: QueueLayout = LAYOUT): void {
    const places = [layout.descriptors, layout.used, layout.available].map((part) => BigInt(USER_ADDRESS + at + part));
    const log = BigInt(GUEST_ADDRESS + at + layout.used);
    this.request(REQUEST.SET_VRING_ADDR, new Uint8Array([...u32(ring, isLogged ? 1 : 0), ...u64(...places, log)]));
  }

  /** Where the base of a ring is, which stops it. */
  stop(ring: number): number {
    return this.request(REQUEST.GET_VRING_BASE, u32(ring, 0))!.getUint32(4, true);
  }

  ringAt(ring: number): number {
    return ring * 0x4000;
  }

  /** The guest sends a frame, its virtio-net header in front, from a place in the memory. */
  guestSends(bytes: Uint8Array, at: number, pair: number = 0): void {
    this.bytes.set(bytes, at);
    const ring = 2 * pair + 1;
    this.drivers[ring]!.offer(GUEST_ADDRESS + at, bytes.length, false);
    if (this.drivers[ring]!.publish()) this.kick(ring);
  }

  /** The guest offers a buffer. */
  guestOffers(at: number, bytes: number, pair: number = 0): void {
    const ring = 2 * pair;
    this.drivers[ring]!.offer(GUEST_ADDRESS + at, bytes, true);
    if (this.drivers[ring]!.publish()) this.kick(ring);
  }

  kick(ring: number): void {
    this.#message.set([1, 0, 0, 0, 0, 0, 0, 0]);
    this.sys.write(this.kicks[ring]!, this.#memoryId, 0, 8);
  }

  /** Whether the ring was called, once. */
  wasCalled(ring: number): boolean {
    return this.sys.read(this.calls[ring]!, this.#memoryId, 0, 8) === 8;
  }

  /** Whether the link's descriptor says that there is something to do. */
  isReady(): boolean {
    const poll = this.sys.pollCreate();
    this.sys.pollControl(poll, 1, this.link.fd, 1, 0);
    const count = this.sys.pollCollect(poll, new Int32Array(2), 1, 0);
    this.sys.close(poll);
    return count === 1;
  }

  /** What the link receives: frames, and the headers in front of them. */
  receive(link: Link = this.link): Uint8Array[] {
    this.packets.reset();
    const count = link.receive(this.packets, this.frame, 256);
    assert.ok(count >= 0);
    return Array.from(this.frame.subarray(0, count), (packet) => {
      const start = this.packets.start[packet]!;
      return this.packets.bytes.slice(start - VNET_HEADER_BYTES, start + this.packets.length[packet]!);
    });
  }

  /** Makes a packet with room for so many bytes in the guest's memory, behind its first `headBytes`, and puts a frame there. Returns it; -1: there is no such room. */
  borrow(frame: Uint8Array, headBytes: number, roomBytes: number = frame.length): number {
    const { packets, link } = this;
    const packet = packets.allocate(roomBytes);
    const start = packets.start[packet]!;
    if (!link.borrow(packets, packet, headBytes)) return -1;
    const { pieces } = packets.lender!;
    for (let i = 0; i < packets.lentCount[packet]!; i++) {
      const word = (packets.lent[packet]! + i) * LENT_PIECE_WORDS;
      const at = pieces[word + 3]! - start;
      this.bytes.set(frame.subarray(at, at + pieces[word + 4]!), pieces[word + 1]);
    }
    packets.bytes.set(frame.subarray(0, headBytes), start);
    packets.trim(packet, frame.length);
    link.keepBorrowed(packets, packet);
    return packet;
  }

  /** Has the link send frames, without offloads. Returns how many it took. */
  transmit(...frames: readonly Uint8Array[]): number {
    return this.transmitBy(this.link, ...frames);
  }

  transmitBy(link: Link, ...frames: readonly Uint8Array[]): number {
    this.packets.reset();
    for (const [i, bytes] of frames.entries()) {
      const packet = this.packets.allocate(bytes.length);
      this.packets.bytes.set(bytes, this.packets.start[packet]);
      this.frame[i] = packet;
    }
    return link.transmit(this.packets, this.frame, frames.length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.guest.close();
    if (this.#ownsLinks) for (const link of this.guest.links) link.close();
    for (const fd of [...this.kicks, ...this.calls, this.fd, this.memoryFd]) closeSync(fd);
    this.shared.unmap();
    rmSync(this.#folder, { recursive: true });
  }
}

export function messageOf(request: number, payload: Uint8Array, flags: number = 0): Uint8Array {
  return new Uint8Array([...u32(request, 1 | flags, payload.length), ...payload]);
}

export function u32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

export function u64(...values: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}

/** Bytes that tell where they belong. */
export function frameOf(bytes: number, seed: number = 1): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed * 31 + (i >> 8)) & 0xff);
}

export function withHeader(frame: Uint8Array, header: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(VNET_HEADER_BYTES + frame.length);
  bytes.set(header);
  bytes.set(frame, VNET_HEADER_BYTES);
  return bytes;
}
