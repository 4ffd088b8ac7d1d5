/** A TAP or TUN device as a program sees it: the types of `openTap`. */
import type { FrameHeader } from './frame-header.ts';

/**
 * Which unfinished frames the kernel may hand to us.
 *
 * - `none`: every frame is as it would be on a wire, at most the MTU long, its checksums complete.
 * - `csum`: transport checksums may be left to us; `batch.header(i)` says where.
 * - `gso`: besides, up to 64 KiB of one TCP stream (or of one burst of UDP) come as one frame, and `batch.header(i)` says into what pieces it is to be cut. Far fewer frames for the same bytes, for programs
 *   that pass on or look at streams. Kernels before 6.2 do this for TCP only.
 *
 * It is about what comes. To the kernel such frames can always be sent.
 */
export type TapOffload = 'none' | 'csum' | 'gso';

/** All may be left out. */
export interface OpenTapOptions {
  /** Up to 15 characters. A `%d` in it becomes the lowest free number. Default `tap%d`, or `tun%d`. */
  readonly name?: string | undefined;
  /** Frames are Ethernet frames (`tap`, the default) or IP packets (`tun`). */
  readonly mode?: 'tap' | 'tun' | undefined;
  /** The network namespace: a NAME of `ip netns`, a /PATH, or `pid:N`. Default: that of this process. */
  readonly namespace?: string | undefined;
  /** 1 to 256, default 1. The kernel spreads flows over them. */
  readonly queues?: number | undefined;
  /** The interface is there already. Default false: then it must not be there. */
  readonly attach?: boolean | undefined;
  /** It stays when it is closed. Default false. */
  readonly persist?: boolean | undefined;
  /** User id of who may attach to a new interface without privilege. */
  readonly owner?: number | undefined;
  /** Group id of those who may, too. */
  readonly group?: number | undefined;
  /** Default `none`. */
  readonly offload?: TapOffload | undefined;
  /** 68 to 65521 bytes of IP packet. Default: the kernel's own, 1500. */
  readonly mtu?: number | undefined;
  /** The MAC address of the interface, which is the kernel's side: `02:00:00:00:00:01`. Default: random. */
  readonly mac?: string | undefined;
  /** Addresses of the interface with their prefix length, of both families: `10.0.0.1/24`. */
  readonly addresses?: readonly string[] | undefined;
  /** Default gateways, one for each family at most: default routes in the interface's namespace. */
  readonly gateways?: readonly string[] | undefined;
  /** The name of a bridge in that namespace which the interface joins. Not together with addresses. */
  readonly bridge?: string | undefined;
  /** Whether it is brought up. Default true; an interface that is attached to stays as it is. */
  readonly up?: boolean | undefined;
  /** Closes the tap when it is aborted; who waits for a batch is given its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Up to 256 frames that came together: a view on one memory, without an object for each frame.
 *
 * It is valid until the next batch is asked for, and so are `frame(i)` and what `bytes` holds: copy what must live longer (`batch.frame(i).slice()`).
 * The frames may be changed in place. An index outside of 0 to `count - 1` throws a RangeError.
 */
export interface TapBatch extends Iterable<Uint8Array> {
  /** How many frames: 1 to 256. */
  readonly count: number;
  /** The number of the queue that they came by. */
  readonly queue: number;
  /** The memory that all frames are in. */
  readonly bytes: Uint8Array;
  /** The same memory. */
  readonly view: DataView;
  /** Where frame `i` starts in `bytes`. */
  offset(i: number): number;
  /** Its length in bytes. */
  length(i: number): number;
  /** Its bytes; a new view, not a copy. */
  frame(i: number): Uint8Array;
  /** What is left to be done to it: with offloads only. */
  header(i: number): FrameHeader;
}

/** What can be sent: a frame, several, or what came by a tap of the same mode, headers and all, which is not copied. */
export type Sendable = Uint8Array | readonly Uint8Array[] | TapBatch;

/** One way in and out of a tap. */
export interface FramePort extends AsyncIterable<TapBatch> {
  /**
   * Batches as they come, in order. Nothing is read while nobody asks: meanwhile the kernel queues 1000 frames (`txqueuelen`; of a tun 500) and drops others.
   *
   * One loop at a time: a second one throws `tap-being-read`. It ends when the tap is closed. When somebody else deletes the interface it throws `tap-lost`. A loop that waits keeps the process
   * alive, a tap without one does not.
   */
  [Symbol.asyncIterator](): AsyncIterator<TapBatch, undefined, undefined>;

  /**
   * Sends frames to the kernel at once, in order, in one crossing for up to 256 of them. Returns how many the kernel took.
   *
   * Those that it does not take are not tried again, and counted (`counters.framesRefused`): the interface is down, or they make no sense. `headers`: one for each frame, for frames that are not finished.
   * Nothing is sent when a frame is shorter than its header or longer than 65549 bytes (`tap-frame-invalid`), or a header is wrong (`tap-header-invalid`). Throws `tap-lost` when the interface was deleted, and
   * `tap-closed`.
   */
  send(frames: Sendable, headers?: FrameHeader | readonly (FrameHeader | undefined)[]): number;
}

export interface TapQueue extends FramePort {
  readonly index: number;
}

/** Counted since the tap was opened, all queues together. */
export interface TapCounters {
  readonly batchesReceived: number;
  readonly framesReceived: number;
  readonly bytesReceived: number;
  readonly framesSent: number;
  readonly bytesSent: number;
  /** Given to `send` and not taken. */
  readonly framesRefused: number;
}

/**
 * An open TAP or TUN device. Iterating it gives the batches of all its queues in turn; sending uses the first one.
 *
 * With several queues the kernel hands a flow to the queue that last sent for it: answer by `tap.queues[batch.queue]`.
 *
 * What the setters ask of the kernel takes CAP_NET_ADMIN in the interface's namespace. They throw a `TapsterError`, and then nothing has changed.
 */
export interface Tap extends FramePort {
  readonly name: string;
  /** The interface's index in its namespace. */
  readonly index: number;
  readonly mode: 'tap' | 'tun';
  /** The MAC address of the interface; undefined in mode tun. */
  readonly mac: string | undefined;
  /** What it was set to, or less where the kernel has no more. */
  readonly offload: TapOffload;
  readonly queues: readonly TapQueue[];
  readonly counters: TapCounters;

  /** Takes effect for frames that are not queued yet. Needs no privilege. */
  setOffload(offload: TapOffload): void;
  /** Whether the interface sees a cable. Needs no privilege. */
  setCarrier(carrier: boolean): void;
  setUp(up: boolean): void;
  setMtu(mtu: number): void;
  setMac(mac: string): void;
  /** `10.0.0.1/24`. One that is there already is no failure. */
  addAddress(address: string): void;
  removeAddress(address: string): void;

  /** Ends the loops over it. The interface goes too, unless it persists. Closing twice does nothing. */
  close(): void;
  /** Closes, and an interface that persists goes as well. */
  remove(): void;
  /** For `using` and `await using`: closes. */
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}
