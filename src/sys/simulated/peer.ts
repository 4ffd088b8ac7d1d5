/**
 * The far end of a simulated TCP connection, with its own application: it reads fast, slowly or only when told, echoes, sends, ends its half, resets.
 * A test holds this object and drives it, or describes its behaviour once in a `StreamService` and lets the clock run.
 */
import type { SimulatedClock } from './clock.ts';
import type { Endpoint } from './endpoint.ts';
import type { Pipe } from './pipe.ts';
import type { StreamSocket } from './stream.ts';

/**
 * How a connect ends. `refuse`: ECONNREFUSED; `unreachable`: EHOSTUNREACH from an ICMP error; `timeout`: ETIMEDOUT when the SYNs were given up;
 * `no-route`: connect itself returns -ENETUNREACH.
 */
export type ConnectOutcome = 'accept' | 'refuse' | 'unreachable' | 'timeout' | 'no-route';

/** `fast`: at once; `manual`: only in `read`; a number: bytes per second. */
export type Reading = 'fast' | 'manual' | number;

/** What listens at an address of the simulated network, or calls from it. */
export interface StreamService {
  /** `accept` unless said. */
  readonly outcome?: ConnectOutcome;
  /** From connect to its outcome; by default one round trip, for `timeout` 130 s. */
  readonly connectDelayUs?: number;
  /** One way; the system's own by default. */
  readonly latencyUs?: number;
  /** `fast` unless said. */
  readonly reading?: Reading;
  /** The far kernel's receive buffer; 64 KiB unless said. */
  readonly receiveBytesMax?: number;
  /** Sends back what it reads, and its end. */
  readonly echo?: boolean;
  readonly onConnect?: (peer: SimulatedPeer) => void;
  /** Takes what is read; otherwise it is kept for `received`. */
  readonly onData?: (bytes: Uint8Array, peer: SimulatedPeer) => void;
  readonly onEnd?: (peer: SimulatedPeer) => void;
}

export type PeerState = 'connecting' | 'connected' | 'refused' | 'reset';

const READ_INTERVAL_US = 1000;
const ONE_SECOND_US = 1_000_000;

export class SimulatedPeer {
  state: PeerState = 'connecting';
  /** Its own address, and the address of the socket that it talks to. */
  readonly address: Endpoint;
  readonly caller: Endpoint;
  /** Bytes read by its application. */
  receivedBytes = 0;
  /** It has read the end of the stream. */
  sawEnd = false;
  readonly #clock: SimulatedClock;
  readonly #latencyUs: number;
  readonly #service: StreamService;
  readonly #chunks: Uint8Array[] = [];
  readonly #out: Pipe;
  readonly #in: Pipe;
  #socket: StreamSocket | undefined = undefined;
  #reading: Reading;
  #readPlanned = false;
  #readCredit = 0;
  #closed = false;

  /** `out` leads to the socket, `inward` from it. */
  constructor(
    clock: SimulatedClock,
    latencyUs: number,
    service: StreamService,
    address: Endpoint,
    caller: Endpoint,
    out: Pipe,
    inward: Pipe,
  ) {
    this.#clock = clock;
    this.#latencyUs = latencyUs;
    this.#service = service;
    this.#reading = service.reading ?? 'fast';
    this.address = address;
    this.caller = caller;
    this.#out = out;
    this.#in = inward;
  }

  /** Bytes that have arrived and that its application did not read. */
  get unreadBytes(): number {
    return this.#in.unread.length;
  }

  /** Bytes that it sent and that the socket's receive buffer has not taken. */
  get unsentBytes(): number {
    return this.#out.unsent.length;
  }

  /** Everything that was read, in one piece. */
  get received(): Uint8Array {
    const all = new Uint8Array(this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /** Queues bytes for the socket, however many. */
  send(bytes: Uint8Array): void {
    if (this.state === 'reset' || this.#out.endQueued) throw new Error('the peer has ended its stream');
    this.#out.write(bytes);
  }

  /** Ends its half behind what it has sent. */
  end(): void {
    this.#out.end();
  }

  /** Ends its half and never reads again: what still comes is answered with a reset. */
  close(): void {
    this.#closed = true;
    if (this.#in.unread.length > 0) this.reset();
    else this.end();
  }

  /** RST: what it sent and did not arrive is lost. */
  reset(): void {
    if (this.state !== 'connected' && this.state !== 'connecting') return;
    this.state = 'reset';
    this.#out.abort();
    this.#in.abort();
    this.#clock.after(this.#latencyUs, () => this.#socket?.resetByPeer());
  }

  /** The path is gone: the socket's retransmissions are given up, as after minutes of silence. */
  vanish(errno: number): void {
    this.state = 'reset';
    this.#out.abort();
    this.#in.abort();
    this.#socket?.resetByPeer(errno);
  }

  /** Reads what has arrived, at most `count` bytes, and keeps it as `received` too. */
  read(count: number = Number.POSITIVE_INFINITY): Uint8Array {
    const bytes = new Uint8Array(Math.min(count, this.#in.unread.length));
    this.#in.unread.copy(0, bytes);
    if (bytes.length > 0) this.#in.drop(bytes.length);
    this.#consume(bytes);
    this.#readEnd();
    return bytes;
  }

  setReading(reading: Reading): void {
    this.#reading = reading;
    this.#readOn();
  }

  /** Used by the network: the connection stands, `socket` is its other end. */
  connected(socket: StreamSocket): void {
    this.#join(socket);
    this.queued();
  }

  /** Used by a listening socket: for the caller the connection stands as soon as it is in the queue. */
  queued(): void {
    if (this.state !== 'connecting') return;
    this.state = 'connected';
    this.#service.onConnect?.(this);
  }

  /** Used by accept. A caller that has reset meanwhile is accepted all the same, as in the kernel. */
  accepted(socket: StreamSocket): void {
    this.#join(socket);
    if (this.state === 'reset') socket.resetByPeer();
  }

  refused(): void {
    this.state = 'refused';
  }

  /** Used by the socket: it has reset the connection. */
  resetBySocket(): void {
    this.#out.abort();
    this.#in.abort();
    this.#clock.after(this.#latencyUs, () => {
      this.state = 'reset';
    });
  }

  #join(socket: StreamSocket): void {
    this.#socket = socket;
    this.#in.listener = {
      arrived: () => this.#arrived(),
      ended: () => this.#readOn(),
      drained: () => socket.drained(),
    };
    socket.attach(this, this.#in, this.#out);
  }

  #arrived(): void {
    if (this.#closed) this.reset();
    else this.#readOn();
  }

  #readOn(): void {
    if (this.#reading === 'fast') {
      this.read();
    } else if (this.#reading !== 'manual' && !this.#readPlanned) {
      this.#readPlanned = true;
      this.#clock.after(READ_INTERVAL_US, () => this.#readSlowly());
    }
  }

  #readSlowly(): void {
    this.#readPlanned = false;
    if (typeof this.#reading !== 'number') return;
    this.#readCredit += (this.#reading * READ_INTERVAL_US) / ONE_SECOND_US;
    const count = Math.floor(this.#readCredit);
    this.#readCredit -= count;
    this.read(count);
    if (this.#in.unread.length > 0) this.#readOn();
  }

  #consume(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.receivedBytes += bytes.length;
    if (this.#service.onData !== undefined) this.#service.onData(bytes, this);
    else this.#chunks.push(bytes);
    if (this.#service.echo && !this.#out.endQueued) this.#out.write(bytes);
  }

  #readEnd(): void {
    if (this.sawEnd || !this.#in.endArrived || this.#in.unread.length > 0) return;
    this.sawEnd = true;
    this.#service.onEnd?.(this);
    if (this.#service.echo) this.end();
  }
}
