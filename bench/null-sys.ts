/**
 * An operating system of which every call succeeds at once and does nothing: what remains is our own work. Sockets take all
 * bytes and have as many as are asked for; the harness says which descriptor is ready.
 */
import { PIECE_WORDS, POLL_EVENT_WORDS, POLL_OPERATION, type Sys } from '#tapster/sys/sys.js';

const EINPROGRESS = 115;

export class NullSys implements Sys {
  /** Microseconds: the harness moves it. */
  clockUs: number = 1_000_000;
  /** Bytes and datagrams that sockets took. */
  bytesTaken: number = 0;
  datagramsTaken: number = 0;
  /** The token of the descriptor that was added to a poll set last. */
  lastToken: number = 0;
  readonly #memories: (Uint8Array | Int32Array)[] = [];
  #descriptors: number = 100;
  #readyEvents: number = 0;
  #readyToken: number = 0;

  /** One event for the next collection. */
  makeReady(events: number, token: number): void {
    this.#readyEvents = events;
    this.#readyToken = token;
  }

  nowUs(): number {
    return this.clockUs;
  }

  register(memory: Uint8Array | Int32Array): number {
    return this.#memories.push(memory) - 1;
  }

  unregister(): void {}
  close(): number {
    return 0;
  }
  read(): number {
    return 0;
  }
  write(): number {
    return 0;
  }
  readFrames(): number {
    return 0;
  }
  writeFrames(_fd: number, _memory: number, _vector: number, _at: number, count: number): number {
    return count;
  }

  socket(): number {
    return this.#descriptors++;
  }
  bind(): number {
    return 0;
  }
  connect(): number {
    return -EINPROGRESS;
  }
  listen(): number {
    return 0;
  }
  accept(): number {
    return -11;
  }
  localAddress(): number {
    return 0;
  }
  peerAddress(): number {
    return 0;
  }
  shutdown(): number {
    return 0;
  }
  setOption(): number {
    return 0;
  }
  getOption(): number {
    return 0;
  }
  tcpInfo(): number {
    return 0;
  }
  peek(_fd: number, _memory: number, _at: number, length: number): number {
    return length;
  }
  peekVector(_fd: number, vector: number, vectorAt: number, count: number): number {
    return this.#bytesOf(vector, vectorAt, count);
  }
  discard(_fd: number, length: number): number {
    return length;
  }
  receive(_fd: number, _memory: number, _at: number, length: number): number {
    return length;
  }
  sendVector(_fd: number, vector: number, vectorAt: number, count: number): number {
    const bytes = this.#bytesOf(vector, vectorAt, count);
    this.bytesTaken += bytes;
    return bytes;
  }

  pipe(_bytes: number, ends: Int32Array): number {
    ends[0] = this.#descriptors++;
    ends[1] = this.#descriptors++;
    ends[2] = 1;
    return 0;
  }
  splice(_from: number, _to: number, bytes: number): number {
    return bytes;
  }
  receiveDatagrams(): number {
    return 0;
  }
  sendDatagrams(_fd: number, _memory: number, _records: number, _at: number, count: number): number {
    this.datagramsTaken += count;
    return count;
  }
  receiveError(): number {
    return 0;
  }

  pollCreate(): number {
    return this.#descriptors++;
  }
  pollControl(_poll: number, operation: number, _fd: number, _events: number, token: number): number {
    if (operation === POLL_OPERATION.ADD) this.lastToken = token;
    return 0;
  }
  pollCollect(_poll: number, events: Int32Array): number {
    if (this.#readyEvents === 0) return 0;
    events[0] = this.#readyEvents;
    events[POLL_EVENT_WORDS - 1] = this.#readyToken;
    this.#readyEvents = 0;
    return 1;
  }
  timerCreate(): number {
    return this.#descriptors++;
  }
  timerSet(): number {
    return 0;
  }

  #bytesOf(vector: number, vectorAt: number, count: number): number {
    const words = this.#memories[vector]!;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += words[vectorAt + PIECE_WORDS * i + 2]!;
    return bytes;
  }
}
