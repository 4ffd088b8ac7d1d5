/**
 * vhost-net (linux/vhost.h): the kernel moves the frames of a tap through a pair of virtqueues in our memory, instead of read(2) and write(2).
 *
 * One descriptor of /dev/vhost-net serves one pair, and one descriptor of a tap: ring 0 receives, ring 1 transmits. What a ring's descriptors call an address is a place
 * in the one memory that the kernel is told about, from its start. The kernel takes from there, and writes there, from a thread of its own until its descriptor
 * is closed: the memory stays registered until then.
 *
 * Frames have the virtio-net header of 12 bytes that the tap itself has (IFF_VNET_HDR, TUNSETVNETHDRSZ, TUNSETVNETLE): vhost-net adds none.
 *
 * Descriptors. The kernel waits for kicks at one event descriptor for each ring. `pollFd` is what we wait at: a poll set of two, the interrupts of the receive ring (edge
 * triggered, so collecting them is all that there is to do) and the errors of both rings. The transmit ring interrupts nobody.
 *
 * Not here: what goes on in the rings (`link/vhost-net.ts`). That the tap was deleted by somebody else is not told here: `tunInterfaceName` tells who asks.
 */
import { closeSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { loadNative } from './native.ts';
import { POLL, POLL_OPERATION, type Sys } from './sys.ts';

/** Where the parts of a ring lie in the memory: bytes from its start. */
export interface VhostRing {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export interface VhostNetOptions {
  /** A tap with virtio-net headers of 12 bytes; the caller keeps it. */
  readonly tapFd: number;
  /** The id of a registered memory, and how much of it the kernel may use. */
  readonly memory: number;
  readonly memoryBytes: number;
  readonly receive: VhostRing;
  readonly transmit: VhostRing;
}

export interface VhostNet {
  readonly fd: number;
  /** Readable when the receive ring, or an error, interrupts us; its tokens are `VHOST_TOKEN`. */
  readonly pollFd: number;
  /** What the kernel writes to when it interrupts us; so may we. */
  readonly callFd: number;
  readonly errorFd: number;
  readonly receiveKickFd: number;
  readonly transmitKickFd: number;
  /** Whether EVENT_IDX was agreed on, for both rings. */
  readonly eventIndex: boolean;
}

const VHOST_TOKEN = { CALL: 0, ERROR: 1 } as const;

/** Bits of the features (virtio 1.2, sections 5.1.3 and 6). */
const MRG_RXBUF = 15;
const INDIRECT_DESC = 28;
const EVENT_IDX = 29;
const VERSION_1 = 32;

const REQUIRED: readonly (readonly [name: string, bit: number])[] = [
  ['VIRTIO_NET_F_MRG_RXBUF', MRG_RXBUF],
  ['VIRTIO_RING_F_INDIRECT_DESC', INDIRECT_DESC],
  ['VIRTIO_F_VERSION_1', VERSION_1],
];

const RING_RECEIVE = 0;
const RING_TRANSMIT = 1;
const NO_EVENT = -1;

/** What the kernel is asked for; each returns 0, or what it is to return, or -errno. */
export interface VhostCalls {
  eventCreate(): number;
  vhostOpen(): number;
  vhostSetOwner(fd: number): number;
  vhostGetFeatures(fd: number, features: Int32Array): number;
  vhostSetFeatures(fd: number, low: number, high: number): number;
  vhostSetMemory(fd: number, memory: number, length: number): number;
  vhostSetRingSize(fd: number, ring: number, size: number): number;
  vhostSetRingBase(fd: number, ring: number, base: number): number;
  vhostSetRingAddresses(
    fd: number,
    ring: number,
    size: number,
    memory: number,
    descriptors: number,
    available: number,
    used: number,
  ): number;
  vhostSetRingKick(fd: number, ring: number, event: number): number;
  vhostSetRingCall(fd: number, ring: number, event: number): number;
  vhostSetRingError(fd: number, ring: number, event: number): number;
  vhostSetBackend(fd: number, ring: number, tapFd: number): number;
  pollCreate: Sys['pollCreate'];
  pollControl: Sys['pollControl'];
}

const native: VhostCalls = loadNative<VhostCalls>();

/** Whether /dev/vhost-net can be opened. Opening it loads the kernel's module where that is allowed. */
export function vhostNetAvailable(): boolean {
  const fd = native.vhostOpen();
  if (fd < 0) return false;
  closeSync(fd);
  return true;
}

/** The caller then owns `vhostDescriptors`. After a failure everything that was opened is closed. `calls`: for tests. */
export function openVhostNet(options: VhostNetOptions, calls: VhostCalls = native): Result<VhostNet> {
  const opened: number[] = [];
  const device = setUp(calls, options, opened);
  if (!device.ok) for (const fd of opened.reverse()) closeSync(fd);
  return device;
}

/** In the order in which they are to be closed: behind the first the kernel touches the memory no more. The tap stays open. */
export function vhostDescriptors(device: VhostNet): readonly number[] {
  const { fd, pollFd, callFd, errorFd, receiveKickFd, transmitKickFd } = device;
  return [fd, pollFd, callFd, errorFd, receiveKickFd, transmitKickFd];
}

function setUp(calls: VhostCalls, options: VhostNetOptions, opened: number[]): Result<VhostNet> {
  const fd = calls.vhostOpen();
  if (fd < 0) return openFailure(fd);
  opened.push(fd);
  const owned = calls.vhostSetOwner(fd);
  if (owned < 0) return failed('owner', 'vhost-net does not take us as its owner (VHOST_SET_OWNER)', owned);
  const features = agree(calls, fd);
  if (!features.ok) return features;
  const memory = calls.vhostSetMemory(fd, options.memory, options.memoryBytes);
  if (memory < 0) {
    return failed(
      'memory',
      `vhost-net does not take ${options.memoryBytes} bytes as its memory (VHOST_SET_MEM_TABLE)`,
      memory,
    );
  }
  const events = makeEvents(calls, opened);
  if (!events.ok) return events;
  const { callFd, errorFd, receiveKickFd, transmitKickFd } = events.value;
  const rings = [
    { index: RING_RECEIVE, place: options.receive, kick: receiveKickFd, call: callFd },
    { index: RING_TRANSMIT, place: options.transmit, kick: transmitKickFd, call: NO_EVENT },
  ];
  for (const { index, place, kick, call } of rings) {
    const ring = setUpRing(calls, fd, index, options.memory, place, kick, call, errorFd);
    if (!ring.ok) return ring;
  }
  for (const { index } of rings) {
    const result = calls.vhostSetBackend(fd, index, options.tapFd);
    if (result < 0) {
      return failed(
        'backend',
        `vhost-net does not take the tap as the backend of ring ${index} (VHOST_NET_SET_BACKEND)`,
        result,
      );
    }
  }
  return success({ fd, ...events.value, eventIndex: features.value });
}

/** Agrees on the features that we need, and EVENT_IDX where there is one: whether there is. */
function agree(calls: VhostCalls, fd: number): Result<boolean> {
  const words = new Int32Array(2);
  const got = calls.vhostGetFeatures(fd, words);
  if (got < 0) return failed('features', 'vhost-net does not tell its features (VHOST_GET_FEATURES)', got);
  const has = (bit: number): boolean => (words[bit >> 5]! & (1 << (bit & 31))) !== 0;
  for (const [name, bit] of REQUIRED) {
    if (!has(bit)) {
      return failure(
        'vhost-net-feature-missing',
        `the kernel's vhost-net lacks ${name}: take Linux 4.0 or newer, or the backend read-write`,
      );
    }
  }
  const eventIndex = has(EVENT_IDX);
  const low = (1 << MRG_RXBUF) | (1 << INDIRECT_DESC) | (eventIndex ? 1 << EVENT_IDX : 0);
  const set = calls.vhostSetFeatures(fd, low, 1 << (VERSION_1 & 31));
  if (set < 0) return failed('features', 'vhost-net does not take its own features (VHOST_SET_FEATURES)', set);
  return success(eventIndex);
}

type Events = Omit<VhostNet, 'fd' | 'eventIndex'>;

function makeEvents(calls: VhostCalls, opened: number[]): Result<Events> {
  const make = (): number => {
    const fd = calls.eventCreate();
    if (fd >= 0) opened.push(fd);
    return fd;
  };
  const callFd = make();
  const errorFd = make();
  const receiveKickFd = make();
  const transmitKickFd = make();
  const bad = Math.min(callFd, errorFd, receiveKickFd, transmitKickFd);
  if (bad < 0) return failed('events', 'the events of vhost-net can not be made (eventfd)', bad);
  const pollFd = calls.pollCreate();
  if (pollFd < 0) return failed('events', 'the events of vhost-net can not be waited for (epoll_create1)', pollFd);
  opened.push(pollFd);
  const result =
    calls.pollControl(pollFd, POLL_OPERATION.ADD, callFd, POLL.IN | POLL.EDGE, VHOST_TOKEN.CALL) ||
    calls.pollControl(pollFd, POLL_OPERATION.ADD, errorFd, POLL.IN, VHOST_TOKEN.ERROR);
  if (result < 0) return failed('events', 'the events of vhost-net can not be waited for (epoll_ctl)', result);
  return success({ pollFd, callFd, errorFd, receiveKickFd, transmitKickFd });
}

function setUpRing(
  calls: VhostCalls,
  fd: number,
  index: number,
  memory: number,
  { size, descriptors, available, used }: VhostRing,
  kick: number,
  call: number,
  error: number,
): Result<void> {
  const steps: readonly (readonly [what: string, request: () => number])[] = [
    [`${size} entries (VHOST_SET_VRING_NUM)`, () => calls.vhostSetRingSize(fd, index, size)],
    ['its first entry (VHOST_SET_VRING_BASE)', () => calls.vhostSetRingBase(fd, index, 0)],
    [
      'its place in the memory (VHOST_SET_VRING_ADDR)',
      () => calls.vhostSetRingAddresses(fd, index, size, memory, descriptors, available, used),
    ],
    ['a descriptor to be kicked by (VHOST_SET_VRING_KICK)', () => calls.vhostSetRingKick(fd, index, kick)],
    ['a descriptor to interrupt by (VHOST_SET_VRING_CALL)', () => calls.vhostSetRingCall(fd, index, call)],
    ['a descriptor for errors (VHOST_SET_VRING_ERR)', () => calls.vhostSetRingError(fd, index, error)],
  ];
  for (const [what, request] of steps) {
    const result = request();
    if (result < 0) return failed('ring', `ring ${index} of vhost-net does not take ${what}`, result);
  }
  return success(undefined);
}

function openFailure(result: number): Result<never> {
  const error = errnoName(result);
  switch (-result) {
    case ERRNO.ENOENT:
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return failure(
        'vhost-net-missing',
        `there is no /dev/vhost-net (${error}): load the module vhost_net, or take the backend read-write`,
      );
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return failure(
        'vhost-net-denied',
        `/dev/vhost-net may not be opened (${error}): run as root or join the group that owns it, or take the backend read-write`,
      );
    default:
      return failure('vhost-net-open-failed', `/dev/vhost-net can not be opened: ${error}`);
  }
}

/** One code for each step: `vhost-net-STEP-failed`. */
function failed(step: string, what: string, result: number): Result<never> {
  return failure(`vhost-net-${step}-failed`, `${what}: ${errnoName(result)}`);
}
