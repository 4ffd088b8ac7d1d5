/**
 * Our end of a simulated TCP connection, or a listening socket, with the semantics of Linux (tcp(7), and net/ipv4/tcp.c where the manual is silent):
 *
 * - writable means that no more than two thirds of the send buffer are used; an edge comes only after a write or a look found no room;
 * - a peek with SO_PEEK_OFF moves its offset on, a read or discard moves it back;
 * - a reset leaves what had arrived readable; then the error is given once, then the end of the stream;
 * - closing with unread bytes, or with SO_LINGER 0, resets; otherwise what was written is still delivered.
 */
import { ERRNO } from '../errno.ts';
import { POLL, SHUTDOWN, TCP_INFO_WORDS } from '../sys.ts';
import { spread } from './bytes.ts';
import type { Endpoint } from './endpoint.ts';
import type { SimulatedPeer } from './peer.ts';
import type { Pipe } from './pipe.ts';
import { Descriptor } from './poll.ts';

export type StreamState = 'fresh' | 'connecting' | 'connected' | 'closed' | 'listening';

/** tcp_states.h */
const TCP_STATE = { fresh: 7, connecting: 2, connected: 1, closed: 7, listening: 10 } as const;
const PEEK_OFF_NONE = -1;

export class StreamSocket extends Descriptor {
  readonly kind = 'stream';
  readonly family: number;
  /** By `level:name`, as they were set. */
  readonly options: Map<string, number> = new Map();
  state: StreamState = 'fresh';
  /** The pending error, as SO_ERROR gives it: positive, 0 for none. */
  error = 0;
  local: Endpoint;
  remote: Endpoint | undefined = undefined;
  peer: SimulatedPeer | undefined = undefined;
  /** SO_LINGER in seconds, -1: off. */
  lingerS = -1;
  /** SO_PEEK_OFF, -1: off. */
  peekOffset: number = PEEK_OFF_NONE;
  sendBytesMax: number;
  receiveBytesMax: number;
  /** Callers that were not accepted yet, for a listening socket. */
  readonly waiting: SimulatedPeer[] = [];
  backlog = 0;
  /** What is to be done about the number in the network's tables when the socket is closed. */
  onClose: (() => void) | undefined = undefined;
  #open = true;
  #out: Pipe | undefined = undefined;
  #in: Pipe | undefined = undefined;
  #sendShut = false;
  #receiveShut = false;
  #wantsRoom = false;

  constructor(family: number, local: Endpoint, sendBytesMax: number, receiveBytesMax: number) {
    super();
    this.family = family;
    this.local = local;
    this.sendBytesMax = sendBytesMax;
    this.receiveBytesMax = receiveBytesMax;
  }

  /** Whether the number is still in the table. */
  get open(): boolean {
    return this.#open;
  }

  /** The host side of the three-way handshake is done. */
  attach(peer: SimulatedPeer, out: Pipe, inward: Pipe): void {
    this.state = 'connected';
    this.peer = peer;
    this.#out = out;
    this.#in = inward;
    out.sendBytesMax = this.sendBytesMax;
    inward.receiveBytesMax = this.receiveBytesMax;
    inward.listener = { arrived: () => this.#arrived(), ended: () => this.#ended(), drained: () => {} };
    inward.move();
    this.wake(POLL.OUT);
  }

  /** The connection could not be made. */
  fail(errno: number): void {
    this.state = 'closed';
    this.error = errno;
    this.#sendShut = true;
    this.#receiveShut = true;
    this.wake(POLL.IN | POLL.OUT | POLL.ERR | POLL.HUP | POLL.RDHUP);
  }

  /** RST from the other end. */
  resetByPeer(errno: number = ERRNO.ECONNRESET): void {
    if (this.state !== 'connected') return;
    this.#out?.abort();
    this.#in?.abort();
    // A reset of a stream whose end had come is told as a broken pipe (tcp_reset in CLOSE_WAIT).
    this.fail(errno === ERRNO.ECONNRESET && this.#in?.endArrived && !this.#out?.endQueued ? ERRNO.EPIPE : errno);
  }

  /** The other end took bytes. */
  drained(): void {
    if (!this.#wantsRoom || !this.#isWritable()) return;
    this.#wantsRoom = false;
    this.wake(POLL.OUT);
  }

  override readiness(): number {
    switch (this.state) {
      case 'listening':
        return this.waiting.length > 0 ? POLL.IN : 0;
      case 'connecting':
        return 0;
      case 'fresh':
        return POLL.OUT | POLL.HUP;
      default:
        return this.#streamReadiness();
    }
  }

  /** Copies up to `bytesMax` bytes to pieces, which have room for them. */
  peek(pieces: readonly Uint8Array[], bytesMax: number, skip: number): number {
    const target = new Uint8Array(bytesMax);
    const from = skip >= 0 ? skip : Math.max(0, this.peekOffset);
    const count = this.#in?.unread.copy(from, target) ?? 0;
    if (count === 0) return target.length === 0 ? 0 : this.#nothingToRead();
    if (skip < 0 && this.peekOffset !== PEEK_OFF_NONE) this.peekOffset += count;
    spread(target.subarray(0, count), pieces);
    return count;
  }

  discard(length: number): number {
    const count = this.#in?.drop(length) ?? 0;
    if (count === 0) return length === 0 ? 0 : this.#nothingToRead();
    this.#moveBackPeek(count);
    return count;
  }

  receive(target: Uint8Array): number {
    const count = this.#in?.unread.copy(0, target) ?? 0;
    if (count === 0) return target.length === 0 ? 0 : this.#nothingToRead();
    this.#in?.drop(count);
    this.#moveBackPeek(count);
    return count;
  }

  override read(target: Uint8Array): number {
    return this.receive(target);
  }

  override write(source: Uint8Array): number {
    return this.send([source], source.length);
  }

  /** Writes the pieces one behind another, `limit` bytes at most. */
  send(pieces: readonly Uint8Array[], limit: number): number {
    if (this.state === 'connecting') return -ERRNO.EAGAIN;
    const out = this.#out;
    if (this.error !== 0) return -this.takeError();
    if (out === undefined || this.#sendShut) return -ERRNO.EPIPE;
    let sent = 0;
    let offered = 0;
    for (const piece of pieces) {
      const part = piece.subarray(0, limit - sent);
      sent += out.write(part);
      offered += piece.length;
    }
    if (sent < offered) this.#wantsRoom = true;
    return sent === 0 && offered > 0 ? -ERRNO.EAGAIN : sent;
  }

  shutdown(how: number): number {
    if (this.state !== 'connected') return -ERRNO.ENOTCONN;
    if (how === SHUTDOWN.WRITE || how === SHUTDOWN.BOTH) {
      this.#sendShut = true;
      this.#out?.end();
    }
    if (how === SHUTDOWN.READ || how === SHUTDOWN.BOTH) this.#receiveShut = true;
    this.wake(POLL.IN | POLL.OUT | POLL.RDHUP | POLL.HUP);
    return 0;
  }

  /** Gives the pending error and clears it. */
  takeError(): number {
    const error = this.error;
    this.error = 0;
    return error;
  }

  info(words: Int32Array, rttUs: number): number {
    words.fill(0, 0, TCP_INFO_WORDS);
    words[0] = TCP_STATE[this.state];
    words[1] = rttUs;
    words[2] = rttUs >> 1;
    words[4] = 7;
    words[5] = 1448;
    words[6] = this.#out?.unsent.length ?? 0;
    words[7] = 10;
    return 0;
  }

  /** A caller for this listening socket: `false` when the backlog is full. */
  offer(caller: SimulatedPeer): boolean {
    // The kernel takes one more than the backlog says.
    if (this.waiting.length > this.backlog) return false;
    this.waiting.push(caller);
    caller.queued();
    this.wake(POLL.IN);
    return true;
  }

  override close(): void {
    this.#open = false;
    this.onClose?.();
    for (const caller of this.waiting) caller.resetBySocket();
    const unread = this.#in?.unread.length ?? 0;
    if (this.state !== 'connected') return;
    if (this.lingerS === 0 || unread > 0) this.#reset();
    else this.#out?.end();
  }

  #streamReadiness(): number {
    let ready = 0;
    const receiveEnded = this.#receiveShut || (this.#in?.endArrived ?? false);
    if (this.error !== 0) ready |= POLL.ERR;
    if ((this.#sendShut && receiveEnded) || this.state === 'closed') ready |= POLL.HUP;
    if (receiveEnded) ready |= POLL.IN | POLL.RDHUP;
    // The peek offset plays no part here: what was peeked and not taken stays readable.
    if ((this.#in?.unread.length ?? 0) > 0) ready |= POLL.IN;
    if (this.#sendShut || this.#isWritable()) ready |= POLL.OUT;
    // Who looks and finds no room is told when there is some, as in tcp_poll.
    else this.#wantsRoom = true;
    return ready;
  }

  #isWritable(): boolean {
    const used = this.#out?.unsent.length ?? 0;
    return this.sendBytesMax - used >= used >> 1;
  }

  #nothingToRead(): number {
    // Whoever has got a FIN reads the end of the stream, whatever came behind it (SOCK_DONE in tcp_recvmsg).
    if (this.#in?.endArrived) return 0;
    if (this.error !== 0) return -this.takeError();
    if (this.#receiveShut) return 0;
    return this.state === 'fresh' || this.state === 'listening' ? -ERRNO.ENOTCONN : -ERRNO.EAGAIN;
  }

  #moveBackPeek(count: number): void {
    if (this.peekOffset !== PEEK_OFF_NONE) this.peekOffset = Math.max(0, this.peekOffset - count);
  }

  #arrived(): void {
    // Nobody reads any more: the kernel answers data for an orphan with a reset.
    if (this.#open) this.wake(POLL.IN);
    else this.#reset();
  }

  #ended(): void {
    this.wake(POLL.IN | POLL.RDHUP | POLL.HUP);
  }

  #reset(): void {
    this.state = 'closed';
    this.#out?.abort();
    this.#in?.abort();
    this.peer?.resetBySocket();
  }
}
