/** A tap that `openTap` has opened: its loops, what it sends, and its settings. */
import { formatMacAddress, type IpPrefix, isLinkLocal, type MacAddress } from '../base/address.ts';
import type { Result } from '../base/result.ts';
import { closeHostTap, type HostTap, removeHostTap, setTapCarrier, setTapOffloads } from '../sys/host-tap.ts';
import type { LinuxSys } from '../sys/linux.ts';
import { addAddress, deleteAddress, SCOPE } from '../sys/netlink/address.ts';
import { type Link, type LinkChange, setLink } from '../sys/netlink/link.ts';
import { TUN_F } from '../sys/tun.ts';
import type { FrameBatch } from './frame-batch.ts';
import { closed, FrameReader, lost } from './frame-reader.ts';
import { FrameWriter, type Headers } from './frame-writer.ts';
import type { Sendable, Tap, TapBatch, TapCounters, TapOffload, TapQueue } from './tap.ts';
import { readMac, readMtu, readOffload, readPrefix } from './tap-options.ts';
import { orThrow } from './tapster-error.ts';

const ANY_TSO: number = TUN_F.TSO4 | TUN_F.TSO6;

type Iterating = AsyncIterator<TapBatch, undefined, undefined>;

export class OpenTap implements Tap {
  readonly name: string;
  readonly index: number;
  readonly mode: 'tap' | 'tun';
  readonly queues: readonly TapQueue[];
  readonly #host: HostTap;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  /** Of the tap and of its queues. */
  readonly #readers: readonly FrameReader[];
  readonly #received: { batches: number; frames: number; bytes: number } = { batches: 0, frames: 0, bytes: 0 };
  readonly #signal: AbortSignal | undefined;
  #mac: MacAddress | undefined;
  #offloads: number;
  #isClosed: boolean = false;

  /** `host` is ours from here on. */
  constructor(sys: LinuxSys, host: HostTap, link: Link, signal: AbortSignal | undefined) {
    this.name = host.name;
    this.index = host.index;
    this.mode = host.mode;
    this.#host = host;
    this.#mac = link.mac;
    this.#offloads = host.offloads;
    this.#writer = new FrameWriter(sys, host.name, host.mode);
    const all = host.fds.map((fd, index) => ({ fd, index }));
    const source = { name: host.name, mode: host.mode, received: this.#count };
    this.#reader = new FrameReader(sys, { ...source, queues: all });
    // Of a single queue, the tap's loop is the queue's.
    const own =
      all.length === 1 ? [this.#reader] : all.map((queue) => new FrameReader(sys, { ...source, queues: [queue] }));
    this.#readers = [this.#reader, ...own];
    this.queues = own.map((reader, index) => ({
      index,
      send: (frames, headers) => this.#send(index, frames, headers),
      [Symbol.asyncIterator]: () => reader[Symbol.asyncIterator](),
    }));
    this.#signal = signal;
    signal?.addEventListener('abort', this.#aborted, { once: true });
  }

  get mac(): string | undefined {
    return this.#mac === undefined ? undefined : formatMacAddress(this.#mac);
  }

  get offload(): TapOffload {
    if ((this.#offloads & ANY_TSO) !== 0) return 'gso';
    return (this.#offloads & TUN_F.CSUM) !== 0 ? 'csum' : 'none';
  }

  get counters(): TapCounters {
    const { batches, frames, bytes } = this.#received;
    const received = { batchesReceived: batches, framesReceived: frames, bytesReceived: bytes };
    return { ...received, ...this.#writer.counters };
  }

  [Symbol.asyncIterator](): Iterating {
    return this.#reader[Symbol.asyncIterator]();
  }

  send(frames: Sendable, headers?: Headers): number {
    return this.#send(0, frames, headers);
  }

  setOffload(offload: TapOffload): void {
    const level = readOffload(offload);
    this.#offloads = this.#done(setTapOffloads(this.#device, level));
  }

  setCarrier(carrier: boolean): void {
    this.#done(setTapCarrier(this.#device, carrier));
  }

  setUp(up: boolean): void {
    this.#change({ up });
  }

  setMtu(mtu: number): void {
    this.#change({ mtu: readMtu(mtu) });
  }

  setMac(text: string): void {
    const mac = readMac(text);
    this.#change({ mac });
    this.#mac = mac;
  }

  addAddress(text: string): void {
    const prefix = readPrefix(text);
    this.#done(addAddress(this.#device.netlink, this.index, prefix, scopeOf(prefix)));
  }

  removeAddress(text: string): void {
    this.#done(deleteAddress(this.#device.netlink, this.index, readPrefix(text)));
  }

  close(): void {
    if (this.#end()) closeHostTap(this.#host);
  }

  remove(): void {
    if (this.#end()) orThrow(removeHostTap(this.#host));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  get #device(): HostTap {
    return this.#isClosed ? closed(this.name) : this.#host;
  }

  readonly #count = (batch: FrameBatch): void => {
    this.#received.batches++;
    this.#received.frames += batch.count;
    this.#received.bytes += batch.frameBytes;
  };

  readonly #aborted = (): void => {
    if (this.#end(this.#signal?.reason)) closeHostTap(this.#host);
  };

  #send(queue: number, frames: Sendable, headers: Headers): number {
    return this.#writer.send(this.#device.fds[queue]!, frames, headers);
  }

  #change(change: LinkChange): void {
    this.#done(setLink(this.#device.netlink, this.index, change));
  }

  #done<T>(result: Result<T>): T {
    if (!result.ok && GONE.includes(result.failure.code)) throw lost(this.name);
    return orThrow(result);
  }

  /** Ends all loops; whether it had not ended before. */
  #end(reason?: unknown): boolean {
    if (this.#isClosed) return false;
    this.#isClosed = true;
    this.#signal?.removeEventListener('abort', this.#aborted);
    for (const reader of this.#readers) reader.close(reason);
    this.#writer.close();
    return true;
  }
}

/** What the kernel says of an index that is no interface's. */
const GONE: readonly string[] = ['netlink-enodev'];

function scopeOf({ address }: IpPrefix): number {
  return isLinkLocal(address) ? SCOPE.LINK : SCOPE.UNIVERSE;
}
