/**
 * A vhost-user connection: reads the front end's messages, has a `VhostUserDevice` do what they ask for, and answers. Its links, one for each pair of queues, carry
 * frames whenever the front end has set the queues up; what is sent by one of them goes by the pair that it belongs to.
 *
 * Works within the engine's turns. A message is read in two pieces, its header and its payload, never beyond its end: descriptors come along with the first of its bytes, and so belong
 * to it. Those that nobody keeps are closed.
 *
 * The connection ends when the front end closes it, sends what is no message, or fails in something without having asked for an answer. Then `gone` is called, once; the
 * caller takes the links out of its poll set, calls `close`, and closes them. A front end that connects again sets everything up anew.
 */
import { MESSAGES_PER_TURN_MAX } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { ReceiveSteering, SteeredLink } from '../link/receive-steering.ts';
import { VhostUserLink } from '../link/vhost-user.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { mapSharedMemory, sharedMemoryCalls } from '../sys/shared-memory.ts';
import { POLL, type Sys } from '../sys/sys.ts';
import { unixCalls } from '../sys/unix-socket.ts';
import * as message from '../virtio/vhost-user-message.ts';
import type { Watching } from './guest-listener.ts';
import { VhostUserDevice } from './vhost-user-device.ts';

export interface VhostUserGuestOptions {
  readonly name: string;
  /** Connected, non-blocking. Closed by `close`. */
  readonly fd: number;
  /** Pairs of queues: the most that the front end may use. */
  readonly pairs: number;
  /** The id under which the arena is registered. */
  readonly arenaMemory: number;
  /** Whether payload may be lent to packets: see `packet/packets.ts`. */
  readonly lends?: boolean;
}

export interface VhostUserHooks {
  /** The connection has ended: called within a turn. Empty: the front end has closed it. */
  gone(why: string): void;
  /** `needsPolling` has changed. */
  polling(): void;
  log(text: string): void;
}

const BUFFER_BYTES = message.MESSAGE_HEADER_BYTES + message.MESSAGE_PAYLOAD_BYTES_MAX;
const NO_DESCRIPTOR = -1;
/** What is told of one connection, at once and on the long run: a machine may do wrong as often as it likes. */
const TOLD_BURST = 20;
const TOLD_PER_SECOND = 1;

export class VhostUserGuest {
  /** Each is one more way for frames of the guest: its `fd` is to be polled. The caller closes them, behind `close`. */
  readonly links: readonly (VhostUserLink | SteeredLink)[];
  /** What carries frames behind them: one for each pair of queues. */
  readonly pairs: readonly VhostUserLink[];
  /** The front end does not tell when there is something to read: see `setPolled`. */
  needsPolling: boolean = false;
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #hooks: VhostUserHooks;
  readonly #device: VhostUserDevice;
  readonly #unwatch: () => void;
  /** The message that is being read, and behind it room for the reply. */
  readonly #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(BUFFER_BYTES + message.REPLY_BYTES_MAX);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  readonly #reply: DataView = new DataView(this.#bytes.buffer, BUFFER_BYTES);
  readonly #memoryId: number;
  #received: number = 0;
  #header: message.MessageHeader | undefined;
  /** Descriptors that came along with it. */
  #fds: number[] = [];
  readonly #arrived: Int32Array = new Int32Array(1 + message.MESSAGE_DESCRIPTORS_MAX);
  #ended: boolean = false;
  readonly #told: TokenBucket = new TokenBucket(TOLD_BURST, TOLD_PER_SECOND);
  #untold: number = 0;

  constructor(engine: Watching, sys: Sys, options: VhostUserGuestOptions, hooks: VhostUserHooks) {
    this.#sys = sys;
    this.#fd = options.fd;
    this.#hooks = hooks;
    this.#memoryId = sys.register(this.#bytes);
    this.pairs = Array.from({ length: options.pairs }, (_, pair) => {
      const link = new VhostUserLink(sys, {
        name: options.name,
        fd: sys.pollCreate(),
        arenaMemory: options.arenaMemory,
        copyPieces: sharedMemoryCalls.copyPieces,
        lends: options.lends ?? false,
        onBroken: (why) => this.#device.reportBroken(pair, why),
      });
      return link;
    });
    const steering = new ReceiveSteering(this.pairs);
    this.links =
      this.pairs.length === 1 ? this.pairs : this.pairs.map((_, pair) => new SteeredLink(steering, this.pairs, pair));
    this.#device = new VhostUserDevice(sys, {
      links: this.pairs,
      map: mapSharedMemory,
      adoptEvent: sharedMemoryCalls.eventAdopt,
      log: (text) => this.#tell(text),
    });
    this.#unwatch = engine.watch(options.fd, POLL.IN, () => this.#ready());
  }

  /** What the guest takes unfinished, as it is negotiated now. */
  get offload(): LinkOffload {
    return this.pairs[0]!.offload;
  }

  /** Whether the links are read without the guest telling us that there is something to read: then it need not. */
  setPolled(polled: boolean): void {
    for (const pair of this.pairs) pair.isPolled = polled;
  }

  /** Ends the connection, and gives the guest's memory and descriptors up. */
  close(): void {
    this.#ended = true;
    this.#unwatch();
    this.#device.close();
    this.#closeDescriptors();
    this.#sys.close(this.#fd);
    this.#sys.unregister(this.#memoryId);
  }

  #ready(): void {
    for (let i = 0; i < MESSAGES_PER_TURN_MAX && !this.#ended; i++) if (!this.#readMessage()) return;
  }

  /** Reads on. Returns whether there may be more. */
  #readMessage(): boolean {
    if (this.#header === undefined) {
      if (!this.#fill(message.MESSAGE_HEADER_BYTES)) return false;
      const header = message.readHeader(this.#view);
      if (typeof header === 'string') return this.#end(`it sent ${header}`);
      this.#header = header;
    }
    const header = this.#header;
    if (!this.#fill(message.MESSAGE_HEADER_BYTES + header.payloadBytes)) return false;
    this.#received = 0;
    this.#header = undefined;
    this.#handle(header);
    this.#closeDescriptors();
    this.#tellPolling();
    return !this.#ended;
  }

  /** Reads until so many bytes of the message are there. Returns whether they are. */
  #fill(bytes: number): boolean {
    while (this.#received < bytes) {
      const wanted = bytes - this.#received;
      const got = unixCalls.unixReceive(this.#fd, this.#memoryId, this.#received, wanted, this.#arrived);
      if (got === -ERRNO.EAGAIN) return false;
      if (got <= 0) return this.#end(got === 0 || got === -ERRNO.ECONNRESET ? '' : errnoName(got));
      this.#received += got;
      for (let i = 1; i <= this.#arrived[0]!; i++) this.#fds.push(this.#arrived[i]!);
      if (this.#fds.length > message.MESSAGE_DESCRIPTORS_MAX) return this.#end('it sent too many descriptors');
    }
    return true;
  }

  #handle(header: message.MessageHeader): void {
    const { request } = header;
    const payload = new DataView(this.#bytes.buffer, message.MESSAGE_HEADER_BYTES, header.payloadBytes);
    const wrong = message.checkMessage(header, payload, this.#fds.length);
    const outcome =
      wrong === '' ? this.#device.handle(request, payload, this.#fds) : ({ kind: 'failed', why: wrong } as const);
    const acknowledges = header.needsReply && this.#device.repliesOnRequest;
    switch (outcome.kind) {
      case 'number':
        this.#send(message.writeNumberReply(this.#reply, request, outcome.value));
        break;
      case 'ring':
        this.#send(message.writeRingStateReply(this.#reply, request, outcome.state));
        break;
      case 'done':
        if (acknowledges) this.#send(message.writeNumberReply(this.#reply, request, 0n));
        break;
      case 'failed':
        if (!acknowledges) {
          this.#end(`it asked for what can't be: ${outcome.why}`);
          break;
        }
        this.#tell(`the front end asked for what can't be, and was told so: ${outcome.why}`);
        this.#send(message.writeNumberReply(this.#reply, request, 1n));
        break;
    }
  }

  #tell(text: string): void {
    if (!this.#told.take(this.#sys.nowUs())) {
      this.#untold++;
      return;
    }
    const others = this.#untold === 0 ? '' : ` (before that, ${this.#untold} times nothing was said)`;
    this.#untold = 0;
    this.#hooks.log(`${text}${others}`);
  }

  #tellPolling(): void {
    const { needsPolling } = this.#device;
    if (needsPolling === this.needsPolling) return;
    this.needsPolling = needsPolling;
    this.#hooks.polling();
  }

  #send(bytes: number): void {
    const sent = unixCalls.unixSend(this.#fd, this.#memoryId, BUFFER_BYTES, bytes, NO_DESCRIPTOR);
    // Replies are few and short: one that does not fit is not waited for.
    if (sent !== bytes) this.#end('it does not read our answers');
  }

  #end(why: string): false {
    if (this.#ended) return false;
    this.#ended = true;
    this.#hooks.gone(why);
    return false;
  }

  #closeDescriptors(): void {
    for (const fd of this.#fds) this.#sys.close(fd);
    this.#fds = [];
  }
}
