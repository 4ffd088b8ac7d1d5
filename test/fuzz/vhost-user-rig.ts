/**
 * A vhost-user connection of ours, and a front end that sends it what it likes, over a real socket, with descriptors of every kind.
 *
 * Each message that the front end has sent whole is answered as its flags ask: `#expected` says which. Behind a message that was cut short it can't be told where the next begins, so that only the
 * form of answers is looked at.
 */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VhostUserGuest } from '#tapster/engine/vhost-user-guest.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { Packets } from '#tapster/packet/packets.js';
import { ERRNO } from '#tapster/sys/errno.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { sharedMemoryCalls } from '#tapster/sys/shared-memory.js';
import { connectUnix, listenUnix, unixCalls } from '#tapster/sys/unix-socket.js';
import { MESSAGE_HEADER_BYTES, PROTOCOL_FEATURE, REQUEST } from '#tapster/virtio/vhost-user-message.js';

export const FILE_BYTES = 0x8000;
export const PAIRS = 2;
const VERSION = 1;
const FLAG_REPLY = 4;
export const FLAG_NEED_REPLY = 8;
const PAYLOAD_BYTES_MAX = 512;
const REPLY_BYTES = MESSAGE_HEADER_BYTES + 8;
/** Answered, whatever the flags. */
const QUESTIONS: readonly number[] = [
  REQUEST.GET_FEATURES,
  REQUEST.GET_PROTOCOL_FEATURES,
  REQUEST.GET_QUEUE_NUM,
  REQUEST.GET_MAX_MEM_SLOTS,
  REQUEST.GET_STATUS,
];

/** What a front end may send along, by number; none of them is what every request wants. */
export const DESCRIPTOR = { MEMORY: 0, EVENT: 1, SHORT_FILE: 2, READ_ONLY: 3, DEVICE: 4, POLL: 5, SOCKET: 6 } as const;

export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Kinds of descriptors that go along. */
  readonly descriptors: readonly number[];
}

/** The costly part, kept for all inputs. */
const sys = new LinuxSys();
const packets = new Packets();
const arenaMemory = sys.register(packets.bytes);
const frame = new Int32Array(FRAME_PACKETS_MAX);
const bytes = new Uint8Array(0x1_0000);
const bytesMemory = sys.register(bytes);
const folder = mkdtempSync(join(tmpdir(), 'fuzz-vhost-user-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const listener = listenUnix(join(folder, 'socket'));

export class VhostUserRig {
  readonly #openBefore: number = openDescriptors();
  readonly #fd: number;
  readonly #guest: VhostUserGuest;
  /** By `DESCRIPTOR`. */
  readonly #fds: readonly number[];
  #ready: () => void = () => {};
  #isWatched: boolean = true;
  /** The connection has ended, by whom ever. */
  #ended: boolean = false;
  /** Requests whose answers are due, in order. */
  #expected: number[] = [];
  /** Where messages begin can be told. */
  #isInStep: boolean = true;
  #acknowledges: boolean = false;

  constructor() {
    assert.ok(listener.ok);
    const connected = connectUnix(listener.value.path);
    assert.ok(connected.ok);
    this.#fd = connected.value;
    const path = join(folder, 'memory');
    const memory = openSync(path, 'w+');
    ftruncateSync(memory, FILE_BYTES);
    const short = openSync(join(folder, 'short'), 'w+');
    ftruncateSync(short, 100);
    const poll = sys.pollCreate();
    const event = sharedMemoryCalls.eventCreate();
    this.#fds = [memory, event, short, openSync(path, 'r'), openSync('/dev/zero', 'r+'), poll, this.#fd];
    const watching = {
      watch: (_fd: number, _events: number, ready: (events: number) => void) => {
        this.#ready = () => ready(1);
        return () => {
          this.#isWatched = false;
        };
      },
    };
    const options = { name: 'vm', fd: unixCalls.unixAccept(listener.value.fd), pairs: PAIRS, arenaMemory };
    this.#guest = new VhostUserGuest(watching, sys, options, {
      gone: () => {
        assert.ok(!this.#ended, 'a connection ends once');
        this.#ended = true;
      },
      polling: () => {},
      log: (text) => assert.ok(text !== ''),
    });
  }

  send(message: Message): void {
    this.#expect(message);
    this.#sendBytes(encode(message), message.descriptors);
  }

  /** Sends the first `count` bytes of a message. */
  sendPart(message: Message, count: number): void {
    this.#isInStep = false;
    this.#sendBytes(encode(message).subarray(0, count), message.descriptors);
  }

  /** The connection has a turn, in which it reads a bounded count of messages; then the front end reads its answers. */
  turn(): void {
    if (this.#ended) return;
    this.#ready();
    this.#readAnswers();
  }

  /** Frames go both ways through each pair of queues. */
  carry(lengths: readonly number[]): void {
    for (const link of this.#guest.links) {
      packets.reset();
      const received = link.receive(packets, frame, FRAME_PACKETS_MAX);
      assert.ok(received >= 0);
      for (let i = 0; i < received; i++) assert.ok(packets.length[frame[i]!]! >= 14);
      packets.reset();
      for (const [i, length] of lengths.entries()) frame[i] = packets.allocate(length);
      const sent = link.transmit(packets, frame, lengths.length);
      assert.ok(sent >= 0 && sent <= lengths.length);
    }
  }

  write(at: number, content: Uint8Array): void {
    writeSync(this.#fds[DESCRIPTOR.MEMORY]!, content, 0, content.length, at);
  }

  /** The file of the memory gets another size while it is mapped. */
  cut(size: number): void {
    ftruncateSync(this.#fds[DESCRIPTOR.MEMORY]!, size);
  }

  /** Everything that was sent is read, and the connection ends; no descriptor may be left. */
  finish(): void {
    for (let before = -1; before !== this.#expected.length; ) {
      before = this.#expected.length;
      this.turn();
    }
    if (this.#isInStep && !this.#ended) assert.deepEqual(this.#expected, [], 'answers that are due');
  }

  close(): void {
    this.#guest.close();
    assert.ok(!this.#isWatched);
    for (const link of this.#guest.links) link.close();
    for (const fd of this.#fds) closeSync(fd);
    assert.equal(openDescriptors(), this.#openBefore, 'descriptors that are open');
  }

  #expect({ request, flags, payload, descriptors }: Message): void {
    if ((flags & 3) !== VERSION || (flags & FLAG_REPLY) !== 0 || payload.length > PAYLOAD_BYTES_MAX) return;
    const number = payload.length === 8 ? new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true) : -1n;
    const isPlain = payload.length === 0 && descriptors.length === 0;
    if (request === REQUEST.SET_PROTOCOL_FEATURES && number >= 0n && descriptors.length === 0) {
      const known = Object.values(PROTOCOL_FEATURE).reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
      if ((number & ~known) === 0n) this.#acknowledges = (number & (1n << BigInt(PROTOCOL_FEATURE.REPLY_ACK))) !== 0n;
    }
    const isAsked = (flags & FLAG_NEED_REPLY) !== 0 && this.#acknowledges;
    if (this.#isInStep && (isAsked || (isPlain && QUESTIONS.includes(request)))) this.#expected.push(request);
  }

  /** Each descriptor goes along with a piece of its own. */
  #sendBytes(whole: Uint8Array, descriptors: readonly number[]): void {
    let at = 0;
    const pieces = descriptors.slice(0, whole.length);
    for (let i = 0; at < whole.length && !this.#ended; i++) {
      const kind = pieces[i];
      const piece = whole.subarray(at, i < pieces.length - 1 ? at + 1 : whole.length);
      bytes.set(piece);
      const fd = kind === undefined ? -1 : this.#fds[kind % this.#fds.length]!;
      const sent = unixCalls.unixSend(this.#fd, bytesMemory, 0, piece.length, fd);
      if (sent === -ERRNO.EAGAIN) this.turn();
      // One that has gone, whose end was not heard of yet.
      if (sent < 0 && sent !== -ERRNO.EAGAIN) return;
      at += Math.max(0, sent);
    }
  }

  #readAnswers(): void {
    const got = unixCalls.unixReceive(this.#fd, bytesMemory, 0, bytes.length, new Int32Array(9));
    if (got <= 0) return;
    assert.equal(got % REPLY_BYTES, 0, `answers of ${got} bytes`);
    for (let at = 0; at < got; at += REPLY_BYTES) {
      const view = new DataView(bytes.buffer, at, REPLY_BYTES);
      assert.deepEqual([view.getUint32(4, true), view.getUint32(8, true)], [VERSION | FLAG_REPLY, 8]);
      if (this.#isInStep) this.#takeAnswer(view.getUint32(0, true));
    }
  }

  /** An answer is to the oldest request that has none, or to one that may be answered or not. */
  #takeAnswer(request: number): void {
    if (this.#expected[0] === request) this.#expected.shift();
    else {
      const isFree =
        request === REQUEST.GET_VRING_BASE || request === REQUEST.SET_LOG_BASE || QUESTIONS.includes(request);
      assert.ok(isFree, `an answer to ${request}, where one to ${this.#expected[0]} is due`);
    }
  }
}

function encode({ request, flags, payload }: Message): Uint8Array {
  const header = Uint32Array.of(request, flags, payload.length);
  return new Uint8Array([...new Uint8Array(header.buffer), ...payload]);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
