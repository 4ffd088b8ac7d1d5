/**
 * A vhost-user link and the two queues of a guest that lies, in one memory; each thing that the link does is held against the model (`virtqueue-model.ts`).
 *
 * Two rings: 0 is what the guest receives by, 1 what it transmits by. What a driver does that leaves open what comes of it (rings that lie over each other, an index that goes
 * back, a write in the middle of it) makes a ring uncertain until it is started anew: then nothing may be touched outside of the regions, and that is all.
 */
import assert from 'node:assert/strict';
import { FRAME_BYTES_MAX, FRAME_DESCRIPTORS_MAX } from '#tapster/base/limits.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { type VhostUserFeatures, VhostUserLink } from '#tapster/link/vhost-user.js';
import { Packets, VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { sharedMemoryCalls } from '#tapster/sys/shared-memory.js';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION } from '#tapster/sys/sys.js';
import { DeviceQueue } from '#tapster/virtio/device-queue.js';
import {
  AVAILABLE,
  AVAILABLE_NO_INTERRUPT,
  availableRingBytes,
  descriptorTableBytes,
  isEventDue,
  USED,
  USED_NO_NOTIFY,
  usedRingBytes,
} from '#tapster/virtio/split-ring.js';
import { BorrowedPayload } from './borrowed-payload.ts';
import { VirtqueueLog } from './virtqueue-log.ts';
import { type Extent, VirtqueueMemory } from './virtqueue-memory.ts';
import { bytesOf, type Chain, frameFor, frameIn, overlap, readChain } from './virtqueue-model.ts';
import { type Placement, Ring } from './virtqueue-ring.ts';

export const TO_GUEST = 0;
export const FROM_GUEST = 1;

export interface Negotiated {
  readonly features: VhostUserFeatures;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  readonly size: number;
  /** Payload of large segments is not copied before it is needed, and is put where the guest reads it. */
  readonly lends: boolean;
  /** The guest is being migrated. */
  readonly logs: boolean;
}

type Taken = { readonly head: number; readonly chain: Chain };

/** The costly part, kept for all inputs. */
const sys = new LinuxSys();
const packets = new Packets();
const arenaMemory = sys.register(packets.bytes);
const word = new Uint8Array(8);
const wordMemory = sys.register(word);
const payload = new BorrowedPayload(sys);
const frame = new Int32Array(FRAME_PACKETS_MAX);
const events = new Int32Array(POLL_EVENT_WORDS);

export class VirtqueueRig {
  readonly memory: VirtqueueMemory = new VirtqueueMemory(sys);
  readonly #rings: readonly [Ring, Ring] = [new Ring(TO_GUEST), new Ring(FROM_GUEST)];
  readonly #negotiated: Negotiated;
  readonly #link: VhostUserLink;
  readonly #log: VirtqueueLog | undefined;
  readonly #poll: number = sys.pollCreate();
  /** Frames to the guest that have no buffers yet. */
  #waiting: Uint8Array[] = [];
  /** As many frames came as were asked for: whoever asked does so again. */
  #isFull: boolean = false;
  /** Queues that came to a chain that can't be, and those of which it was told. */
  #breaks: number = 0;
  /** Indirect tables that were read. */
  #tables: Extent[] = [];
  #told: number = 0;

  constructor(negotiated: Negotiated) {
    this.#negotiated = negotiated;
    this.#link = new VhostUserLink(sys, {
      name: 'vm',
      fd: sys.pollCreate(),
      arenaMemory,
      copyPieces: (vector, at, count) => {
        this.memory.beforeCopies();
        return sharedMemoryCalls.copyPieces(vector, at, count);
      },
      lends: negotiated.lends,
      onBroken: (why) => {
        assert.ok(why !== '', 'a broken queue says why');
        this.#told++;
      },
    });
    this.#link.setFeatures(negotiated.features);
    if (negotiated.logs) this.#log = new VirtqueueLog(this.memory);
    this.#link.setLog(this.#log?.log);
    sys.pollControl(this.#poll, POLL_OPERATION.ADD, this.#link.fd, POLL.IN, 0);
  }

  /** Entries of a queue. */
  get size(): number {
    return this.#negotiated.size;
  }

  /** Of a virtio-net header. */
  get headerBytes(): number {
    return this.#negotiated.features.headerBytes;
  }

  /** Where a ring's descriptors lie in the file. */
  tableAt(index: number): number | undefined {
    return this.#rings[index]?.parts?.descriptors.at;
  }

  /** Announces a region, or takes one away, as a connection does. Returns whether it was accepted. */
  announce(which: number, isThere: boolean): boolean {
    this.#log?.begin();
    const isAccepted = isThere ? this.memory.add(which) : this.memory.remove(which);
    for (const ring of this.#rings) {
      if (ring.queue === undefined) continue;
      ring.queue.locate();
      this.#locate(ring);
      this.#kick(ring);
    }
    this.#check();
    return isAccepted;
  }

  /** Starts a ring; with no `base` it goes on where it was. */
  start(index: number, placement: Placement, base: number | undefined): void {
    this.stop(index);
    this.#log?.begin();
    const ring = this.#rings[index]!;
    const { size, eventIndex, indirect } = this.#negotiated;
    ring.taken = base ?? ring.taken;
    ring.placement = placement;
    ring.isBroken = false;
    ring.isCertain = true;
    ring.used = -1;
    this.#locate(ring);
    const options = { ring: { size, ...placement }, base: ring.taken, eventIndex, indirect };
    ring.queue = new DeviceQueue(this.memory.guest, options);
    const usedAt = this.memory.guestAddressOf(placement.used);
    if (usedAt !== undefined) ring.queue.setLog(this.#log?.log, usedAt);
    sys.pollControl(this.#link.fd, POLL_OPERATION.ADD, ring.kickFd, POLL.IN | POLL.EDGE, index);
    this.#plug(ring);
    this.#check();
  }

  stop(index: number): void {
    const ring = this.#rings[index]!;
    if (ring.queue === undefined) return;
    ring.taken = ring.queue.base;
    ring.queue = undefined;
    ring.parts = undefined;
    this.#plug(ring);
    sys.pollControl(this.#link.fd, POLL_OPERATION.REMOVE, ring.kickFd, 0, 0);
    if (index === TO_GUEST) this.#waiting = [];
  }

  /** The driver shows chains in the entries behind those that it has shown, and kicks where the device asks for it. */
  show(index: number, heads: readonly number[]): void {
    const ring = this.#rings[index]!;
    if (ring.parts === undefined) return;
    const { size, eventIndex } = this.#negotiated;
    const { available, used } = ring.parts;
    const before = this.#shown(ring);
    for (const [i, head] of heads.entries()) {
      const entry = (before + i) & (size - 1);
      this.memory.write(available.at + AVAILABLE.RING + entry * AVAILABLE.ENTRY_BYTES, u16(head));
    }
    const after = (before + heads.length) & 0xffff;
    this.memory.write(available.at + AVAILABLE.INDEX, u16(after));
    this.#countShown(ring);
    ring.hasNews = true;
    const event = this.#read16(used.at + USED.RING + size * USED.ENTRY_BYTES);
    const isQuiet = (this.#read16(used.at) & USED_NO_NOTIFY) !== 0;
    if (eventIndex ? isEventDue(event, before, after) : !isQuiet) this.#kick(ring);
  }

  /** The driver says how many entries it has shown, true or not. */
  setShown(index: number, shown: number): void {
    const ring = this.#rings[index]!;
    if (ring.parts === undefined) return;
    const forward = (shown - this.#shown(ring)) & 0xffff;
    // Back, or unkicked.
    if (forward > 0) ring.isCertain = false;
    this.memory.write(ring.parts.available.at + AVAILABLE.INDEX, u16(shown));
    this.#kick(ring);
  }

  /** Whether the driver wants to be called, and behind which entry. */
  setWish(index: number, flags: number, event: number): void {
    const { parts } = this.#rings[index]!;
    if (parts === undefined) return;
    this.memory.write(parts.available.at + AVAILABLE.FLAGS, u16(flags));
    this.memory.write(parts.available.at + parts.available.bytes - 2, u16(event));
  }

  /** The driver writes somewhere: over its own rings, perhaps. */
  poke(at: number, bytes: Uint8Array): void {
    const poked = [{ at, bytes: bytes.length }];
    for (const ring of this.#rings) {
      if (ring.parts === undefined) continue;
      const { available, used } = ring.parts;
      const index = { at: available.at + AVAILABLE.INDEX, bytes: 2 };
      const event = { at: used.at + used.bytes - 2, bytes: 2 };
      if (overlap(poked, [index, { at: used.at, bytes: 2 }, event])) ring.isCertain = false;
    }
    this.memory.write(at, bytes);
  }

  kick(index: number): void {
    this.#kick(this.#rings[index]!);
  }

  /** Returns how many frames came. */
  receive(framesMax: number): number {
    this.#log?.begin();
    packets.reset();
    const toGuest = this.#rings[TO_GUEST];
    toGuest.hasNews = false;
    if (this.#canTake(toGuest) && this.#waiting.length > 0) this.#place(toGuest, this.#waiting.splice(0));
    const count = this.#link.receive(packets, frame, framesMax);
    assert.ok(count >= 0 && count <= framesMax, `${count} frames of ${framesMax}`);
    const frames = Array.from(frame.subarray(0, count), (packet) => {
      packets.gather(packet);
      const start = packets.start[packet]!;
      return packets.bytes.slice(start - VNET_HEADER_BYTES, start + packets.length[packet]!);
    });
    if (this.memory.isAmbushed) this.#lose();
    const fromGuest = this.#rings[FROM_GUEST];
    const hasRoom = packets.hasRoom(FRAME_BYTES_MAX);
    // Who has lent payload gives the guest its buffers back now.
    packets.reset();
    if (this.#canTake(fromGuest)) this.#checkReceived(fromGuest, frames, hasRoom ? framesMax : 0);
    else if (fromGuest.isCertain) assert.equal(count, 0, 'frames come from a queue that works only');
    this.#isFull = count === framesMax;
    this.#check();
    return count;
  }

  transmit(frames: readonly Uint8Array[]): void {
    this.#log?.begin();
    packets.reset();
    let borrows = this.#negotiated.lends;
    for (const [i, bytes] of frames.entries()) {
      const packet = packets.allocate(bytes.length);
      packets.bytes.set(bytes, packets.start[packet]);
      frame[i] = packet;
      // One that finds no room must not be left behind by those that do.
      if (borrows) borrows = payload.borrow(this.#link, packets, packet);
    }
    // Nothing more is sent by a queue that broke, were it in a chain that no frame would have needed.
    if (this.#negotiated.lends && (this.#rings[TO_GUEST].queue?.broken ?? '') !== '') this.#lose();
    const ring = this.#rings[TO_GUEST];
    ring.hasNews &&= this.#waiting.length > 0;
    const takes = this.#canTake(ring);
    if (takes && this.#waiting.length > 0) this.#waiting.push(...frames);
    else if (takes) this.#place(ring, frames);
    const sent = this.#link.transmit(packets, frame, frames.length);
    if (ring.isCertain) assert.equal(sent, takes ? frames.length : 0, 'frames are sent, or wait');
    this.#check();
  }

  /** Nothing has made it unknown what comes of what. */
  checkCertain(): void {
    for (const ring of this.#rings) assert.ok(this.#canTake(ring), 'all that happens can be told');
  }

  close(): void {
    for (const { index } of this.#rings) this.stop(index);
    this.#link.close();
    for (const { kickFd, callFd } of this.#rings) for (const fd of [kickFd, callFd]) sys.close(fd);
    sys.close(this.#poll);
    this.memory.close();
  }

  /** Holds what was received against the chains that were taken; fewer than `framesMax` are all that there were. */
  #checkReceived(ring: Ring, frames: readonly Uint8Array[], framesMax: number): void {
    const taken = (ring.queue!.base - ring.taken) & 0xffff;
    const expected: Uint8Array[] = [];
    for (let i = 0; i < taken; i++) {
      const next = this.#chainAt(ring, 0);
      if (next === undefined || next === 'wrong') throw new Error(`chain ${i} of ${taken} was not to be taken`);
      if (this.#touchesRings(next.chain.readable)) this.#lose();
      const each = frameIn(this.memory, next.chain, this.#negotiated.features);
      if (each !== undefined) expected.push(each);
      this.#use(ring, next.head, 0);
    }
    const left = this.#chainAt(ring, 0);
    if (taken < framesMax) {
      assert.ok(left === undefined || left === 'wrong', 'a chain is left');
      if (left === 'wrong') this.#break(ring);
    }
    this.#publish(ring, taken);
    if (!ring.isCertain) return;
    assert.equal(frames.length, expected.length, 'as many frames as were sent');
    for (const [i, each] of frames.entries()) {
      assert.ok(Buffer.compare(each, expected[i]!) === 0, `frame ${i} is what the guest has sent`);
    }
  }

  /** Puts frames into the guest's buffers as far as there are any; the others wait. */
  #place(ring: Ring, frames: readonly Uint8Array[]): void {
    const { features } = this.#negotiated;
    const writes: { readonly at: number; readonly bytes: number; readonly part: Uint8Array }[] = [];
    this.#tables = [];
    let used = 0;
    for (const [i, each] of frames.entries()) {
      const chains = this.#chainsFor(ring, features.headerBytes + each.length);
      // Lost: it does not fit into the only buffer that it may have.
      if (chains === 'unfit') continue;
      if (chains === 'none' || chains === 'wrong') {
        if (chains === 'wrong') this.#break(ring);
        this.#waiting.push(...frames.slice(i));
        break;
      }
      const bytes = frameFor(each, chains.length, features);
      let done = 0;
      for (const { head, chain } of chains) {
        const before = done;
        for (const { at, bytes: most } of chain.writable) {
          const part = bytes.subarray(done, done + most);
          writes.push({ at, bytes: part.length, part });
          done += part.length;
        }
        this.#use(ring, head, done - before);
      }
      used += chains.length;
    }
    for (const { at, part } of writes) this.memory.expected.set(part, at);
    const isOnce = writes.every((one, i) => !overlap([one], writes.slice(i + 1)));
    // Chains are read before any frame is written, or in between.
    if (!isOnce || this.#touchesRings([...writes, ...this.#tables]) || overlap(this.#tables, writes)) this.#lose();
    this.#publish(ring, used);
  }

  /** The chains that a frame takes with its header. */
  #chainsFor(ring: Ring, bytes: number): Taken[] | 'none' | 'wrong' | 'unfit' {
    const chains: Taken[] = [];
    let descriptors = 0;
    for (let room = 0; room < bytes; ) {
      const next = this.#chainAt(ring, chains.length);
      if (next === undefined) return 'none';
      if (next === 'wrong') return 'wrong';
      descriptors += next.chain.descriptors;
      if (descriptors > FRAME_DESCRIPTORS_MAX) return 'wrong';
      room += bytesOf(next.chain.writable);
      chains.push(next);
      if (!this.#negotiated.features.mergeable && room < bytes) return 'unfit';
    }
    return chains;
  }

  /** The chain that is so many behind the next one; undefined: the driver has not shown it. */
  #chainAt(ring: Ring, behind: number): Taken | 'wrong' | undefined {
    const { parts } = ring;
    const { size, indirect } = this.#negotiated;
    if (parts === undefined || ((this.#shown(ring) - ring.taken) & 0xffff) <= behind) return undefined;
    const entry = (ring.taken + behind) & (size - 1);
    const head = this.#read16(parts.available.at + AVAILABLE.RING + entry * AVAILABLE.ENTRY_BYTES);
    const chain = readChain(this.memory, parts.descriptors.at, size, head, indirect, this.#tables);
    return chain === undefined ? 'wrong' : { head, chain };
  }

  #use(ring: Ring, head: number, bytes: number): void {
    const entry = ring.parts!.used.at + USED.RING + (ring.used & (this.#negotiated.size - 1)) * USED.ENTRY_BYTES;
    const view = new DataView(this.memory.expected.buffer);
    view.setUint32(entry + USED.ENTRY_ID, head, true);
    view.setUint32(entry + USED.ENTRY_LENGTH, bytes, true);
    ring.taken = (ring.taken + 1) & 0xffff;
    ring.used = (ring.used + 1) & 0xffff;
  }

  /** The guest is shown what was used, unless its queue is broken by now, and called where it asked for it. */
  #publish(ring: Ring, used: number): void {
    if (used === 0 || ring.isBroken) return;
    const { available, used: usedRing } = ring.parts!;
    new DataView(this.memory.expected.buffer).setUint16(usedRing.at + USED.INDEX, ring.used, true);
    const event = this.#read16(available.at + available.bytes - 2);
    const isQuiet = (this.#read16(available.at) & AVAILABLE_NO_INTERRUPT) !== 0;
    ring.isCallDue = this.#negotiated.eventIndex ? isEventDue(event, (ring.used - used) & 0xffff, ring.used) : !isQuiet;
  }

  #break(ring: Ring): void {
    ring.isBroken = true;
    this.#breaks++;
  }

  #lose(): void {
    for (const ring of this.#rings) ring.isCertain = false;
  }

  #check(): void {
    if (this.memory.isAmbushed) this.#lose();
    this.memory.isAmbushed = false;
    for (const ring of this.#rings) this.#acceptWishes(ring);
    const isCertain = this.#rings.every((ring) => ring.isCertain || ring.queue === undefined);
    const at = this.memory.differs(!isCertain);
    assert.equal(at, -1, `byte ${at} of the memory was changed by nobody who may`);
    this.memory.accept();
    if (isCertain)
      this.#log?.check(this.#rings.flatMap(({ parts, isBroken }) => (isBroken && parts ? [parts.used] : [])));
    for (const ring of this.#rings) {
      const wasCalled = sys.read(ring.callFd, wordMemory, 0, word.length) === word.length;
      if (ring.queue !== undefined && ring.isCertain) this.#checkRing(ring, ring.queue, wasCalled);
      ring.isCallDue = false;
    }
    if (isCertain) assert.ok(this.#told >= this.#breaks, 'it is told of each queue that breaks');
    else this.#breaks = this.#told;
  }

  #checkRing(ring: Ring, queue: DeviceQueue, wasCalled: boolean): void {
    const isBroken = ring.isBroken || ring.parts === undefined;
    assert.equal(queue.broken !== '', isBroken, `ring ${ring.index} is broken, or not: "${queue.broken}"`);
    assert.equal(queue.base, ring.taken, `chains that ring ${ring.index} has taken`);
    if (ring.isCallDue) assert.ok(wasCalled, `ring ${ring.index} is called`);
    if (isBroken) return;
    if (this.#hasWork(ring) && !this.#isFull)
      assert.equal(sys.pollCollect(this.#poll, events, 1, 0), 1, `ring ${ring.index} has work and no kick`);
  }

  /** Whether there is something to do of which the device has been told, or should have been. */
  #hasWork(ring: Ring): boolean {
    if (ring.index === FROM_GUEST) return this.#chainAt(ring, 0) !== undefined;
    const [next] = this.#waiting;
    if (next === undefined || !ring.hasNews) return false;
    return Array.isArray(this.#chainsFor(ring, this.headerBytes + next.length));
  }

  /** What the device asks the driver for is its own business, as is what it leaves of a queue that broke. */
  #acceptWishes({ parts, queue, isBroken }: Ring): void {
    if (parts === undefined || queue === undefined) return;
    const { at, bytes } = parts.used;
    this.memory.accept(at, 2);
    this.memory.accept(at + bytes - 2, 2);
    if (isBroken) this.memory.accept(at + USED.RING, bytes - USED.RING);
  }

  /** Where a ring lies now. */
  #locate(ring: Ring): void {
    const { size } = this.#negotiated;
    const { placement } = ring;
    const descriptors = this.#part(placement.descriptors, descriptorTableBytes(size), 16);
    const available = this.#part(placement.available, availableRingBytes(size), 2);
    const used = this.#part(placement.used, usedRingBytes(size), 4);
    ring.parts = descriptors && available && used && { descriptors, available, used };
    if (ring.parts === undefined) return;
    this.#countShown(ring);
    if (ring.used < 0) ring.used = this.#read16(ring.parts.used.at + USED.INDEX);
    const other = this.#rings[1 - ring.index]!;
    const mine = Object.values(ring.parts);
    const theirs = other.parts === undefined ? [] : Object.values(other.parts);
    const isApart = mine.every((part, i) => !overlap([part], [...mine.slice(i + 1), ...theirs]));
    if (!isApart) this.#lose();
  }

  #part(address: number, bytes: number, alignment: number): Extent | undefined {
    const there = this.memory.find(address, 'userAddress');
    return there === undefined || there.bytes < bytes || address % alignment !== 0
      ? undefined
      : { at: there.at, bytes };
  }

  /** More entries than a queue has break it whenever it looks. */
  #countShown(ring: Ring): void {
    if (ring.parts === undefined) return;
    if (((this.#shown(ring) - ring.taken) & 0xffff) > this.#negotiated.size) ring.isCertain = false;
  }

  #canTake({ queue, isCertain, isBroken, parts }: Ring): boolean {
    return queue !== undefined && isCertain && !isBroken && parts !== undefined;
  }

  #touchesRings(extents: readonly Extent[]): boolean {
    return this.#rings.some(({ parts }) => parts !== undefined && overlap(extents, Object.values(parts)));
  }

  /** The guest receives by the first, and transmits by the second. */
  #plug(ring: Ring): void {
    const { queue, callFd, kickFd } = ring;
    const plugged = queue === undefined ? undefined : { queue, callFd, kickFd };
    if (ring.index === TO_GUEST) this.#link.setToGuest(plugged);
    else this.#link.setFromGuest(plugged);
  }

  #kick({ kickFd }: Ring): void {
    this.#link.signal(kickFd);
  }

  #shown({ parts }: Ring): number {
    return this.#read16(parts!.available.at + AVAILABLE.INDEX);
  }

  #read16(at: number): number {
    return new DataView(this.memory.expected.buffer).getUint16(at, true);
  }
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value, value >> 8);
}
