/**
 * What the front end of a vhost-user connection sets up: features, memory, and the queues of a virtio network device, which it plugs into one link for each pair. Takes messages that
 * were read and found to be whole, and says what is to be answered; reading and writing them is `vhost-user-guest.ts`.
 *
 * The life of a ring. It is set up by its size, base and addresses, starts with the descriptor of its kicks, and is stopped by GET_VRING_BASE, which says where a later start goes
 * on. In between it is enabled and disabled; without PROTOCOL_FEATURES it is enabled always. It is plugged into its link while it is started and enabled, and as one of which frames are
 * discarded when the front end has disabled it since. What a queue does that can't be
 * breaks that queue alone, until it is started anew: its error descriptor is signalled.
 *
 * Migration of a guest that runs. The front end gives a log for written pages, asks with the feature LOG_ALL that frames to the guest be marked in it, and by each ring's addresses
 * that its used ring be. Neither disturbs a queue that runs. When the guest goes on elsewhere, SEND_RARP there has bridges learn where its address is.
 *
 * Offered: see `FEATURE` and `PROTOCOL_FEATURE`. Not offered, and why:
 *
 * - INFLIGHT_SHMFD: chains are given back in the order in which they were taken. The used index says where to go on, then, also to who comes after one that was killed at work.
 * - CONFIG: QEMU and others keep a network device's configuration themselves, and QEMU warns of back ends that offer it.
 * - a control queue: it is the front end's own. What it leads to comes here as messages.
 * - packed rings, an IOMMU, post-copy migration.
 */
import { DIRTY_LOG_BYTES_MAX, MEMORY_REGIONS_MAX, VHOST_USER_QUEUE_SIZE_MAX } from '../base/limits.ts';
import { type Result, success } from '../base/result.ts';
import type { VhostUserFeatures, VhostUserLink, VhostUserQueue } from '../link/vhost-user.ts';
import { POLL, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import { DeviceQueue } from '../virtio/device-queue.ts';
import { DirtyLog } from '../virtio/dirty-log.ts';
import { GuestMemory, type MapMemory } from '../virtio/guest-memory.ts';
import { FEATURE } from '../virtio/net-features.ts';
import { isQueueSize } from '../virtio/split-ring.ts';
import * as message from '../virtio/vhost-user-message.ts';
import { PROTOCOL_FEATURE, REQUEST } from '../virtio/vhost-user-message.ts';

const FEATURES: bigint = bits(Object.values(FEATURE));
const PROTOCOL_FEATURES: bigint = bits(Object.values(PROTOCOL_FEATURE));

const HEADER_BYTES_LEGACY = 10;
const HEADER_BYTES = 12;
const NO_DESCRIPTOR = -1;
/** Of IPv4 (RFC 791), and as much as its field in the configuration holds. */
const MTU_MIN = 68n;
const MTU_MAX = 65_535n;
/** Device status that a reset leaves (virtio 1.2, section 2.1). */
const STATUS_RESET = 0n;

export interface VhostUserDeviceOptions {
  /** One for each pair of queues: at least one. */
  readonly links: readonly VhostUserLink[];
  readonly map: MapMemory;
  /** Makes an event descriptor that came usable: 0, or -errno when it is none. */
  readonly adoptEvent: (fd: number) => number;
  /** For people: a queue that is broken. */
  readonly log: (text: string) => void;
}

/** What a message led to. `failed`: the front end is told where it asked to be, else the connection ends. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'ring'; readonly state: message.RingState }
  | { readonly kind: 'failed'; readonly why: string };

interface Ring {
  readonly index: number;
  size: number;
  base: number;
  addresses: message.RingAddresses | undefined;
  isStarted: boolean;
  isEnabled: boolean;
  /** It was disabled while it was started: what the guest sends by it is for nobody, but must not wait. */
  isDiscarded: boolean;
  kickFd: number;
  callFd: number;
  errorFd: number;
  queue: DeviceQueue | undefined;
}

const DONE: Outcome = { kind: 'done' };

export class VhostUserDevice {
  /** What the front end said its MTU is; 0: nothing. */
  mtu: number = 0;
  readonly #sys: Sys;
  readonly #options: VhostUserDeviceOptions;
  readonly #memory: GuestMemory;
  readonly #rings: readonly Ring[];
  /** Pages that were written, while the guest is migrated. */
  #log: DirtyLog | undefined;
  #features: bigint = 0n;
  #protocolFeatures: bigint = 0n;
  #status: bigint = STATUS_RESET;

  constructor(sys: Sys, options: VhostUserDeviceOptions) {
    this.#sys = sys;
    this.#options = options;
    this.#memory = new GuestMemory(options.map);
    this.#rings = options.links.flatMap((_, pair) => [newRing(2 * pair), newRing(2 * pair + 1)]);
  }

  get repliesOnRequest(): boolean {
    return this.#hasProtocol(PROTOCOL_FEATURE.REPLY_ACK);
  }

  /** Does what a message asks for. Descriptors that it keeps are taken out of `fds`; the others are the caller's. */
  handle(request: number, payload: DataView, fds: number[]): Outcome {
    switch (request) {
      case REQUEST.GET_FEATURES:
        return { kind: 'number', value: FEATURES };
      case REQUEST.SET_FEATURES:
        return this.#setFeatures(message.readNumber(payload));
      case REQUEST.GET_PROTOCOL_FEATURES:
        return { kind: 'number', value: PROTOCOL_FEATURES };
      case REQUEST.SET_PROTOCOL_FEATURES:
        return this.#setProtocolFeatures(message.readNumber(payload));
      case REQUEST.SET_OWNER:
        return DONE;
      case REQUEST.RESET_OWNER:
        this.#stopAll();
        return DONE;
      case REQUEST.RESET_DEVICE:
        return this.#reset();
      case REQUEST.SET_LOG_BASE:
        return this.#setLog(message.readLogPlace(payload), fds[0]!);
      case REQUEST.SET_LOG_FD:
        // Whoever migrates a guest looks at the log when it wants to: nobody waits for this.
        return DONE;
      case REQUEST.SEND_RARP:
        this.#options.links[0]!.announce(message.readMacAddress(payload));
        return DONE;
      case REQUEST.GET_QUEUE_NUM:
        // QEMU takes this for pairs, others for queues, which is what it is. Who wants more pairs than there are is refused the first queue too many.
        return { kind: 'number', value: BigInt(this.#rings.length) };
      case REQUEST.NET_SET_MTU:
        return this.#setMtu(message.readNumber(payload));
      case REQUEST.SET_STATUS:
        return this.#setStatus(message.readNumber(payload));
      case REQUEST.GET_STATUS:
        return { kind: 'number', value: this.#status };
      case REQUEST.SET_MEM_TABLE:
      case REQUEST.GET_MAX_MEM_SLOTS:
      case REQUEST.ADD_MEM_REG:
      case REQUEST.REM_MEM_REG:
        return this.#handleMemory(request, payload, fds);
      default:
        return this.#handleRing(request, payload, fds);
    }
  }

  /** A queue has no descriptor for its kicks: the front end wants it to be looked at all the time. */
  get needsPolling(): boolean {
    return this.#rings.some(({ queue, kickFd }) => queue !== undefined && kickFd < 0);
  }

  /** Takes all queues out of the links, and gives everything up that the front end has given. */
  close(): void {
    this.#stopAll();
    for (const ring of this.#rings) {
      this.#close(ring.callFd);
      this.#close(ring.errorFd);
      ring.callFd = NO_DESCRIPTOR;
      ring.errorFd = NO_DESCRIPTOR;
    }
    this.#closeLog();
    this.#memory.close();
  }

  /** A link found a queue of its pair broken. */
  reportBroken(pair: number, why: string): void {
    const lost = this.#memory.isLost() ? ': a file of the guest memory was cut short' : '';
    this.#options.log(`a queue of pair ${pair} is broken, and stays so until the guest starts it anew: ${why}${lost}`);
    for (const ring of [this.#rings[2 * pair]!, this.#rings[2 * pair + 1]!]) {
      if (ring.queue === undefined || ring.queue.broken === '' || ring.errorFd < 0) continue;
      this.#options.links[pair]!.signal(ring.errorFd);
    }
  }

  #setFeatures(features: bigint): Outcome {
    const unknown = features & ~FEATURES;
    if (unknown !== 0n) return failed(`features that were not offered: 0x${unknown.toString(16)}`);
    const isOther = ((this.#features ^ features) & ~bits([FEATURE.LOG_ALL])) !== 0n;
    this.#features = features;
    const negotiated = this.#negotiated();
    for (const link of this.#options.links) link.setFeatures(negotiated);
    if (!this.#has(FEATURE.PROTOCOL_FEATURES)) for (const ring of this.#rings) ring.isEnabled = true;
    for (const ring of this.#rings) {
      // Queues that are plugged in were made for other features: EVENT_IDX, for one.
      if (isOther) this.#unplug(ring);
      this.#plug(ring);
    }
    this.#followLog();
    return DONE;
  }

  #setProtocolFeatures(features: bigint): Outcome {
    const unknown = features & ~PROTOCOL_FEATURES;
    if (unknown !== 0n) return failed(`protocol features that were not offered: 0x${unknown.toString(16)}`);
    this.#protocolFeatures = features;
    return DONE;
  }

  #setLog({ bytes, offset }: message.LogPlace, fd: number): Outcome {
    if (!this.#hasProtocol(PROTOCOL_FEATURE.LOG_SHMFD)) return failed('a log of written pages that was not negotiated');
    if (bytes > DIRTY_LOG_BYTES_MAX || !Number.isSafeInteger(offset)) {
      return failed(`a log of written pages of ${bytes} bytes at ${offset}: ${DIRTY_LOG_BYTES_MAX} bytes are the most`);
    }
    const mapped = this.#options.map(fd, offset, bytes);
    if (typeof mapped === 'number') return failed(`a log of written pages that can't be mapped: errno ${-mapped}`);
    this.#closeLog();
    this.#log = new DirtyLog(mapped, this.#memory);
    this.#followLog();
    return { kind: 'number', value: 0n };
  }

  /** Has written pages marked where that is asked for now, and nowhere else. */
  #followLog(): void {
    const log = this.#has(FEATURE.LOG_ALL) ? this.#log : undefined;
    for (const link of this.#options.links) link.setLog(log);
    for (const { queue, addresses } of this.#rings) {
      if (queue === undefined) continue;
      const isLogged = addresses !== undefined && addresses.log >= 0;
      queue.setLog(isLogged ? this.#log : undefined, isLogged ? addresses.log : 0);
    }
  }

  /** The front end has another log, or goes. */
  #closeLog(): void {
    const why = this.#log?.close() ?? '';
    this.#log = undefined;
    if (why !== '')
      this.#options.log(`the log of written pages is not whole (${why}): who was migrated with it may be damaged`);
  }

  #setMtu(mtu: bigint): Outcome {
    if (mtu < MTU_MIN || mtu > MTU_MAX) return failed(`an MTU of ${mtu}: from ${MTU_MIN} to ${MTU_MAX} is right`);
    this.mtu = Number(mtu);
    return DONE;
  }

  /** As it was in the beginning, but for what is the connection's: features, memory, descriptors. */
  #reset(): Outcome {
    this.#stopAll();
    for (const ring of this.#rings) {
      ring.isEnabled = false;
      ring.addresses = undefined;
      ring.size = 0;
      ring.base = 0;
    }
    this.#status = STATUS_RESET;
    return DONE;
  }

  #setStatus(status: bigint): Outcome {
    this.#status = status;
    if (status === STATUS_RESET) this.#stopAll();
    return DONE;
  }

  #handleMemory(request: number, payload: DataView, fds: readonly number[]): Outcome {
    const memory = this.#memory;
    switch (request) {
      case REQUEST.GET_MAX_MEM_SLOTS:
        return { kind: 'number', value: BigInt(MEMORY_REGIONS_MAX) };
      case REQUEST.SET_MEM_TABLE:
        return this.#relocate(memory.replace(message.readRegions(payload), fds));
      case REQUEST.ADD_MEM_REG:
        return this.#relocate(memory.add(message.readRegion(payload), fds[0]!));
      default:
        memory.remove(message.readRegion(payload));
        return this.#relocate(success(undefined));
    }
  }

  /** The memory has changed: queues lie elsewhere in it. */
  #relocate(changed: Result<void>): Outcome {
    if (!changed.ok) return failed(changed.failure.message);
    for (const ring of this.#rings) {
      ring.queue?.locate();
      // It may have been kicked while it had no place.
      if (ring.queue !== undefined && ring.kickFd >= 0) this.#linkOf(ring).signal(ring.kickFd);
    }
    return DONE;
  }

  #handleRing(request: number, payload: DataView, fds: number[]): Outcome {
    const isDescriptor =
      request === REQUEST.SET_VRING_KICK || request === REQUEST.SET_VRING_CALL || request === REQUEST.SET_VRING_ERR;
    const index = isDescriptor ? message.readRingDescriptor(payload).index : message.readRingState(payload).index;
    const ring = this.#rings[index];
    if (ring === undefined) return failed(`the ring ${index}: there are ${this.#rings.length}`);
    if (isDescriptor) return this.#setDescriptor(ring, request, message.readRingDescriptor(payload).isNone, fds);
    switch (request) {
      case REQUEST.SET_VRING_ADDR:
        this.#setAddresses(ring, message.readRingAddresses(payload));
        return DONE;
      case REQUEST.GET_VRING_BASE:
        this.#stop(ring);
        return { kind: 'ring', state: { index, value: ring.base } };
      default:
        return this.#setNumber(ring, request, message.readRingState(payload).value);
    }
  }

  #setAddresses(ring: Ring, addresses: message.RingAddresses): void {
    const { addresses: before } = ring;
    const isSame =
      before?.descriptors === addresses.descriptors &&
      before.available === addresses.available &&
      before.used === addresses.used;
    ring.addresses = addresses;
    // What is written is to be logged, or no more: nothing that a queue which runs need be stopped for.
    if (!isSame) this.#unplug(ring);
    this.#plug(ring);
    this.#followLog();
  }

  #setNumber(ring: Ring, request: number, value: number): Outcome {
    switch (request) {
      case REQUEST.SET_VRING_NUM:
        if (!isQueueSize(value) || value > VHOST_USER_QUEUE_SIZE_MAX) {
          return failed(`a ring of ${value} entries: a power of two up to ${VHOST_USER_QUEUE_SIZE_MAX} is right`);
        }
        ring.size = value;
        break;
      case REQUEST.SET_VRING_BASE:
        this.#unplug(ring);
        ring.base = value & 0xffff;
        break;
      case REQUEST.SET_VRING_ENABLE:
        if (isFromGuest(ring)) this.#unplug(ring);
        ring.isEnabled = value !== 0;
        ring.isDiscarded = !ring.isEnabled && ring.isStarted && isFromGuest(ring);
        this.#plug(ring);
        return DONE;
      default:
        return failed(`the request ${request}`);
    }
    this.#restart(ring);
    return DONE;
  }

  #setDescriptor(ring: Ring, request: number, isNone: boolean, fds: number[]): Outcome {
    const fd = isNone ? NO_DESCRIPTOR : fds[0];
    if (fd === undefined) return failed(`the request ${request} without its descriptor`);
    if (fd >= 0 && this.#options.adoptEvent(fd) < 0) return failed(`the request ${request} with what is no event`);
    if (fd >= 0) fds.shift();
    switch (request) {
      case REQUEST.SET_VRING_KICK:
        this.#unplug(ring);
        this.#close(ring.kickFd);
        ring.kickFd = fd;
        ring.isStarted = true;
        this.#plug(ring);
        return DONE;
      case REQUEST.SET_VRING_CALL:
        // QEMU gives another each time that the guest masks its interrupt, or no more: the queue runs on.
        this.#close(ring.callFd);
        ring.callFd = fd;
        if (ring.queue !== undefined) this.#setQueue(ring, { queue: ring.queue, callFd: fd, kickFd: ring.kickFd });
        return DONE;
      default:
        this.#close(ring.errorFd);
        ring.errorFd = fd;
        return DONE;
    }
  }

  #restart(ring: Ring): void {
    this.#unplug(ring);
    this.#plug(ring);
  }

  #stopAll(): void {
    for (const ring of this.#rings) this.#stop(ring);
  }

  #stop(ring: Ring): void {
    this.#unplug(ring);
    this.#close(ring.kickFd);
    ring.kickFd = NO_DESCRIPTOR;
    ring.isStarted = false;
    ring.isDiscarded = false;
  }

  /** Brings a ring into its link, or out of it, as it is now to be. */
  #plug(ring: Ring): void {
    const isWanted = ring.isStarted && (ring.isEnabled || ring.isDiscarded);
    const isReady = isWanted && ring.addresses !== undefined && ring.size > 0;
    if (!isReady) this.#unplug(ring);
    if (!isReady || ring.queue !== undefined) return;
    const queue = new DeviceQueue(this.#memory, {
      ring: { ...ring.addresses!, size: ring.size },
      base: ring.base,
      eventIndex: this.#has(FEATURE.EVENT_IDX),
      indirect: this.#has(FEATURE.INDIRECT_DESC),
    });
    ring.queue = queue;
    this.#followLog();
    const link = this.#linkOf(ring);
    if (ring.kickFd >= 0) {
      this.#sys.pollControl(link.fd, POLL_OPERATION.ADD, ring.kickFd, POLL.IN | POLL.EDGE, ring.index);
    }
    this.#setQueue(ring, { queue, callFd: ring.callFd, kickFd: ring.kickFd });
    if (queue.broken !== '') this.reportBroken(ring.index >> 1, queue.broken);
  }

  #unplug(ring: Ring): void {
    if (ring.queue === undefined) return;
    this.#setQueue(ring, undefined);
    if (ring.kickFd >= 0) {
      this.#sys.pollControl(this.#linkOf(ring).fd, POLL_OPERATION.REMOVE, ring.kickFd, 0, 0);
    }
    ring.base = ring.queue.base;
    ring.queue = undefined;
  }

  /** The guest receives by the first of a pair, and transmits by the second. */
  #setQueue(ring: Ring, queue: VhostUserQueue | undefined): void {
    const link = this.#linkOf(ring);
    if (isFromGuest(ring)) link.setFromGuest(queue, ring.isDiscarded);
    else link.setToGuest(queue);
  }

  #linkOf(ring: Ring): VhostUserLink {
    return this.#options.links[ring.index >> 1]!;
  }

  #negotiated(): VhostUserFeatures {
    const has = (...all: readonly number[]): boolean => all.every((bit) => this.#has(bit));
    const { CSUM, GUEST_CSUM, HOST_TSO4, HOST_TSO6, GUEST_TSO4, GUEST_TSO6, HOST_USO, GUEST_USO4, GUEST_USO6 } =
      FEATURE;
    return {
      offload: {
        checksum: has(GUEST_CSUM),
        tcpSegmentation: has(GUEST_CSUM, GUEST_TSO4, GUEST_TSO6),
        udpSegmentation: has(GUEST_CSUM, GUEST_USO4, GUEST_USO6),
      },
      guestOffload: {
        checksum: has(CSUM),
        tcpSegmentation: has(CSUM) && (has(HOST_TSO4) || has(HOST_TSO6)),
        udpSegmentation: has(CSUM, HOST_USO),
      },
      mergeable: has(FEATURE.MRG_RXBUF),
      headerBytes: has(FEATURE.MRG_RXBUF) || has(FEATURE.VERSION_1) ? HEADER_BYTES : HEADER_BYTES_LEGACY,
    };
  }

  #has(bit: number): boolean {
    return (this.#features & (1n << BigInt(bit))) !== 0n;
  }

  #hasProtocol(bit: number): boolean {
    return (this.#protocolFeatures & (1n << BigInt(bit))) !== 0n;
  }

  #close(fd: number): void {
    if (fd >= 0) this.#sys.close(fd);
  }
}

/** The guest sends by it. */
function isFromGuest({ index }: Ring): boolean {
  return index % 2 === 1;
}

function newRing(index: number): Ring {
  return {
    index,
    size: 0,
    base: 0,
    addresses: undefined,
    isStarted: false,
    isEnabled: false,
    isDiscarded: false,
    kickFd: NO_DESCRIPTOR,
    callFd: NO_DESCRIPTOR,
    errorFd: NO_DESCRIPTOR,
    queue: undefined,
  };
}

function failed(why: string): Outcome {
  return { kind: 'failed', why };
}

function bits(list: readonly number[]): bigint {
  return list.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
}
