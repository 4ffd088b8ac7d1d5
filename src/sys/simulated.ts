/**
 * A `Sys` in memory: sockets, taps, timers and readiness with the semantics of Linux, under a clock that only `advance` moves, with faults drawn
 * from one seed. The same seed and the same calls give the same run, on every machine.
 *
 * A test says who lives in the network (`sys.network.stream`, `.datagram`, `.ping`), is the guest behind a `device`, and lets time pass:
 *
 *     const sys = new SimulatedSys({ seed: 1 });
 *     sys.network.stream('198.51.100.7', 80, { echo: true });
 *     const device = sys.device();
 *     ... start an engine on `sys` and `device.fd` ...
 *     device.send(frame);
 *     sys.advance(1000);
 *
 * Nothing moves between host and network outside `advance`; with no latency, `advance(0)` is enough. Descriptor numbers are reused at
 * once, lowest first, as the kernel does: who keeps a stale one meets somebody else's socket. At the end `openDescriptors()` must
 * be empty.
 *
 * Not simulated: urgent data, raw sockets, blocking, IP options, and the path between far TCP and host TCP (segments, windows, retransmission):
 * that is the kernels' own business.
 */
import { Random } from '../base/random.ts';
import { ERRNO } from './errno.ts';
import { SO, SOL } from './options.ts';
import { totalBytes } from './simulated/bytes.ts';
import { SimulatedClock } from './simulated/clock.ts';
import { DatagramSocket } from './simulated/datagram.ts';
import * as datagrams from './simulated/datagram-calls.ts';
import { type DeviceOptions, SimulatedDevice } from './simulated/device.ts';
import { familyOf, readEndpoint, unspecified, writeEndpoint } from './simulated/endpoint.ts';
import { FAULT_PASSES_US, type FaultPlan, Faults, type FaultyCall } from './simulated/faults.ts';
import { Memories } from './simulated/memory.ts';
import { localTowards, SimulatedNetwork } from './simulated/network.ts';
import { type Descriptor, PollSet } from './simulated/poll.ts';
import { getOption, setOption } from './simulated/socket-options.ts';
import { SplicePipe, splice } from './simulated/splice.ts';
import { StreamSocket } from './simulated/stream.ts';
import { Timer } from './simulated/timer.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from './sys.ts';

export interface SimulatedOptions {
  /** 1 unless said. */
  readonly seed?: number;
  readonly faults?: FaultPlan;
  /** SO_PEEK_OFF for TCP: true unless said. Kernels before 6.9 have none and answer ENOPROTOOPT here. */
  readonly peekOffset?: boolean;
  /** SO_SNDBUF and SO_RCVBUF of new sockets, in bytes of payload. */
  readonly sendBytesMax?: number;
  readonly receiveBytesMax?: number;
  /** One way through the simulated network; 0 unless said. */
  readonly latencyUs?: number;
  /** RLIMIT_NOFILE. */
  readonly descriptorsMax?: number;
  readonly nowUs?: number;
}

/** 0, 1 and 2 are the standard ones. */
const FIRST_DESCRIPTOR = 3;
const BUFFER_BYTES = 212_992;

export class SimulatedSys implements Sys {
  readonly random: Random;
  readonly clock: SimulatedClock;
  readonly network: SimulatedNetwork;
  readonly faults: Faults;
  readonly memories: Memories = new Memories();
  readonly #options: Required<Omit<SimulatedOptions, 'seed' | 'faults' | 'latencyUs' | 'nowUs'>>;
  readonly #descriptors: (Descriptor | undefined)[] = [];
  /** No number below is free. */
  #lowestFree = FIRST_DESCRIPTOR;

  constructor(options: SimulatedOptions = {}) {
    this.random = new Random(options.seed ?? 1);
    // The clock does not start at 0, so that a forgotten time is seen.
    this.clock = new SimulatedClock(options.nowUs ?? 1_000_000_000);
    this.network = new SimulatedNetwork(this.clock, options.latencyUs ?? 0);
    this.faults = new Faults(options.faults ?? {}, this.random);
    this.#options = {
      peekOffset: options.peekOffset ?? true,
      sendBytesMax: options.sendBytesMax ?? BUFFER_BYTES,
      receiveBytesMax: options.receiveBytesMax ?? BUFFER_BYTES,
      descriptorsMax: options.descriptorsMax ?? 1_048_576,
    };
  }

  // --- for the test ---

  /** Lets time pass, and all happen that is due. */
  advance(us: number): void {
    this.clock.advance(us);
  }

  /** Makes a tap. */
  device(options: DeviceOptions = {}): SimulatedDevice {
    const fd = this.#freeNumber();
    const device = new SimulatedDevice(fd, options);
    this.#descriptors[fd] = device;
    return device;
  }

  /** What was opened and not closed, as `fd kind`. */
  openDescriptors(): string[] {
    return this.#descriptors.flatMap((descriptor, fd) =>
      descriptor === undefined ? [] : [`${fd} ${descriptor.kind}`],
    );
  }

  /** The object behind a number, for a look inside. */
  descriptor(fd: number): Descriptor | undefined {
    return this.#descriptors[fd];
  }

  // --- time and memory ---

  nowUs(): number {
    return this.clock.nowUs;
  }

  register(memory: Uint8Array | Int32Array): number {
    return this.memories.register(memory);
  }

  unregister(memory: number): void {
    this.memories.unregister(memory);
  }

  // --- descriptors ---

  close(fd: number): number {
    const descriptor = this.#descriptors[fd];
    if (descriptor === undefined) return -ERRNO.EBADF;
    this.#descriptors[fd] = undefined;
    this.#lowestFree = Math.min(this.#lowestFree, fd);
    for (const watch of [...descriptor.watches]) watch.set.forget(descriptor);
    descriptor.close();
    return 0;
  }

  read(fd: number, memory: number, at: number, length: number): number {
    const target = this.memories.bytes(memory, at, length);
    return this.#descriptors[fd]?.read(target) ?? -ERRNO.EBADF;
  }

  write(fd: number, memory: number, at: number, length: number): number {
    const source = this.memories.bytes(memory, at, length);
    return this.#descriptors[fd]?.write(source) ?? -ERRNO.EBADF;
  }

  readFrames(
    fd: number,
    memory: number,
    at: number,
    end: number,
    frameBytesMax: number,
    vector: number,
    vectorAt: number,
    framesMax: number,
    headroom: number = 0,
  ): number {
    const descriptor = this.#descriptors[fd];
    const words = this.memories.words(vector, vectorAt, 2 * framesMax);
    this.memories.bytes(memory, at, end - at);
    if (descriptor === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('readFrames', descriptor);
    if (failed !== 0) return failed === -ERRNO.EAGAIN ? 0 : failed;
    const limit = this.faults.shorten('readFrames', framesMax);
    if (limit < framesMax) this.#wakeLater(descriptor);
    let start = ((at + 3) & ~3) + headroom;
    let count = 0;
    while (count < limit && start + frameBytesMax <= end) {
      const length = descriptor.read(this.memories.bytes(memory, start, frameBytesMax));
      if (length === -ERRNO.EAGAIN) break;
      if (length < 0) return count === 0 ? length : count;
      words[vectorAt + 2 * count] = start;
      words[vectorAt + 2 * count + 1] = length;
      start = ((start + length + 3) & ~3) + headroom;
      count++;
    }
    return count;
  }

  writeFrames(fd: number, memory: number, vector: number, vectorAt: number, count: number): number {
    const descriptor = this.#descriptors[fd];
    const words = this.memories.words(vector, vectorAt, 2 * count);
    if (descriptor === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('writeFrames', descriptor);
    if (failed !== 0) return failed;
    const limit = this.faults.shorten('writeFrames', count);
    for (let frame = 0; frame < limit; frame++) {
      const at = vectorAt + 2 * frame;
      const written = descriptor.write(this.memories.bytes(memory, words[at]!, words[at + 1]!));
      if (written < 0) return frame === 0 ? written : frame;
    }
    return limit;
  }

  // --- sockets ---

  socket(family: number, type: number, protocol: number): number {
    const failed = this.faults.fail('socket');
    if (failed !== 0) return failed;
    if (family !== SOCKET_FAMILY.INET && family !== SOCKET_FAMILY.INET6) return -ERRNO.EAFNOSUPPORT;
    if (this.#freeNumber() >= this.#options.descriptorsMax) return -ERRNO.EMFILE;
    const socket = this.#makeSocket(family, type, protocol);
    return typeof socket === 'number' ? socket : this.#place(socket);
  }

  bind(fd: number, address: Int32Array): number {
    const socket = this.#socket(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    const local = readEndpoint(address, 0);
    const reuse = getOption(socket, SOL.SOCKET, SO.REUSEADDR) !== 0;
    if (socket instanceof DatagramSocket) return socket.bind(local, reuse);
    if (socket.local.port !== 0) return -ERRNO.EINVAL;
    if (familyOf(local.address) !== socket.family) return -ERRNO.EAFNOSUPPORT;
    return this.#bindStream(socket, local, reuse);
  }

  connect(fd: number, address: Int32Array): number {
    const socket = this.#socket(fd);
    const to = readEndpoint(address, 0);
    if (socket === undefined) return -ERRNO.EBADF;
    if (familyOf(to.address) !== socket.family) {
      return socket.family === SOCKET_FAMILY.INET ? -ERRNO.EAFNOSUPPORT : -ERRNO.EINVAL;
    }
    const failed = this.faults.fail('connect');
    if (failed !== 0) return failed;
    if (socket instanceof DatagramSocket) return socket.connect(to);
    if (socket.state === 'connecting') return -ERRNO.EALREADY;
    if (socket.state === 'connected') return -ERRNO.EISCONN;
    if (socket.state !== 'fresh') return socket.error === 0 ? -ERRNO.ECONNABORTED : -socket.takeError();
    const local = socket.local.port === 0 ? this.network.ports.lend('tcp', socket.local) : socket.local;
    if (typeof local === 'number') return -ERRNO.EADDRNOTAVAIL;
    socket.local = localTowards(local, to.address);
    return this.network.connect(socket, to);
  }

  listen(fd: number, backlog: number): number {
    const socket = this.#stream(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    if (socket.state !== 'fresh' && socket.state !== 'listening') return -ERRNO.EINVAL;
    const bound = socket.local.port === 0 ? this.#bindStream(socket, socket.local, false) : 0;
    if (bound !== 0) return bound;
    socket.state = 'listening';
    socket.backlog = backlog;
    this.network.listen(socket);
    return 0;
  }

  accept(fd: number, address: Int32Array): number {
    const listener = this.#stream(fd);
    if (listener === undefined) return -ERRNO.EBADF;
    if (listener.state !== 'listening') return -ERRNO.EINVAL;
    const failed = this.#fault('accept', listener);
    if (failed !== 0) return failed;
    const number = this.#freeNumber();
    if (number >= this.#options.descriptorsMax) return -ERRNO.EMFILE;
    const caller = listener.waiting.shift();
    if (caller === undefined) return -ERRNO.EAGAIN;
    const socket = new StreamSocket(listener.family, caller.caller, listener.sendBytesMax, listener.receiveBytesMax);
    socket.remote = caller.address;
    this.#descriptors[number] = socket;
    caller.accepted(socket);
    writeEndpoint(address, 0, caller.address);
    return number;
  }

  localAddress(fd: number, address: Int32Array): number {
    const socket = this.#socket(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    writeEndpoint(address, 0, socket.local);
    return 0;
  }

  peerAddress(fd: number, address: Int32Array): number {
    const socket = this.#socket(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    if (socket.remote === undefined) return -ERRNO.ENOTCONN;
    if (socket instanceof StreamSocket && socket.state !== 'connected') return -ERRNO.ENOTCONN;
    writeEndpoint(address, 0, socket.remote);
    return 0;
  }

  shutdown(fd: number, how: number): number {
    return this.#stream(fd)?.shutdown(how) ?? -ERRNO.EBADF;
  }

  setOption(fd: number, level: number, name: number, value: number): number {
    const socket = this.#socket(fd);
    return socket === undefined ? -ERRNO.EBADF : setOption(socket, level, name, value, this.#options.peekOffset);
  }

  getOption(fd: number, level: number, name: number): number {
    const socket = this.#socket(fd);
    return socket === undefined ? -ERRNO.EBADF : getOption(socket, level, name);
  }

  tcpInfo(fd: number, info: Int32Array): number {
    return this.#stream(fd)?.info(info, Math.max(1, 2 * this.network.latencyUs)) ?? -ERRNO.EBADF;
  }

  // --- streams ---

  peek(fd: number, memory: number, at: number, length: number, skip: number, scratch: number): number {
    return this.#peek(fd, [this.memories.bytes(memory, at, length)], skip, scratch);
  }

  peekVector(fd: number, vector: number, vectorAt: number, count: number, skip: number, scratch: number): number {
    return this.#peek(fd, this.memories.pieces(vector, vectorAt, count), skip, scratch);
  }

  discard(fd: number, length: number): number {
    const socket = this.#stream(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('discard', socket);
    return failed !== 0 ? failed : socket.discard(this.#shorten('discard', socket, length));
  }

  receive(fd: number, memory: number, at: number, length: number): number {
    const target = this.memories.bytes(memory, at, length);
    const socket = this.#stream(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('receive', socket);
    return failed !== 0 ? failed : socket.receive(target.subarray(0, this.#shorten('receive', socket, length)));
  }

  sendVector(fd: number, vector: number, vectorAt: number, count: number, _more: boolean): number {
    const pieces = this.memories.pieces(vector, vectorAt, count);
    const socket = this.#stream(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('sendVector', socket);
    return failed !== 0 ? failed : socket.send(pieces, this.#shorten('sendVector', socket, totalBytes(pieces)));
  }

  pipe(bytes: number, ends: Int32Array): number {
    const pipe = new SplicePipe(bytes);
    ends.set([this.#place(pipe.readEnd), this.#place(pipe.writeEnd), pipe.pieces]);
    return 0;
  }

  splice(from: number, to: number, bytes: number): number {
    const source = this.#descriptors[from];
    const target = this.#descriptors[to];
    if (source === undefined || target === undefined) return -ERRNO.EBADF;
    const socket = source instanceof StreamSocket ? source : target;
    const failed = this.#fault('splice', socket);
    return failed !== 0 ? failed : splice(source, target, this.#shorten('splice', socket, bytes));
  }

  // --- datagrams ---

  receiveDatagrams(
    fd: number,
    memory: number,
    at: number,
    end: number,
    headroom: number,
    datagramBytesMax: number,
    records: number,
    recordsAt: number,
    datagramsMax: number,
  ): number {
    const socket = this.#descriptors[fd];
    if (!(socket instanceof DatagramSocket)) return -ERRNO.EBADF;
    const failed = this.#fault('receiveDatagrams', socket);
    if (failed !== 0) return failed === -ERRNO.EAGAIN ? 0 : failed;
    const max = this.#shorten('receiveDatagrams', socket, datagramsMax);
    return datagrams.receive(
      socket,
      this.memories,
      { memory, at, end, headroom, datagramBytesMax },
      records,
      recordsAt,
      max,
    );
  }

  sendDatagrams(fd: number, memory: number, records: number, recordsAt: number, count: number): number {
    const socket = this.#descriptors[fd];
    if (!(socket instanceof DatagramSocket)) return -ERRNO.EBADF;
    const failed = this.#fault('sendDatagrams', socket);
    if (failed !== 0) return failed;
    return datagrams.send(
      socket,
      this.memories,
      memory,
      records,
      recordsAt,
      this.#shorten('sendDatagrams', socket, count),
    );
  }

  receiveError(fd: number, memory: number, at: number, length: number, record: Int32Array): number {
    const target = this.memories.bytes(memory, at, length);
    const socket = this.#descriptors[fd];
    if (socket instanceof DatagramSocket) return datagrams.receiveError(socket, target, record);
    return socket instanceof StreamSocket ? 0 : -ERRNO.EBADF;
  }

  // --- readiness and timers ---

  pollCreate(): number {
    return this.#place(new PollSet());
  }

  pollControl(poll: number, operation: number, fd: number, events: number, token: number): number {
    const set = this.#descriptors[poll];
    const descriptor = this.#descriptors[fd];
    if (!(set instanceof PollSet) || descriptor === undefined) return -ERRNO.EBADF;
    if (descriptor === set) return -ERRNO.EINVAL;
    const failed = this.faults.fail('pollControl');
    return failed !== 0 ? failed : set.control(operation, descriptor, events, token);
  }

  /** Time stands still while somebody asks: what is not ready now will not be. */
  pollCollect(poll: number, events: Int32Array, eventsMax: number, _spinUs: number): number {
    const set = this.#descriptors[poll];
    return set instanceof PollSet ? set.collect(events, eventsMax) : -ERRNO.EBADF;
  }

  timerCreate(): number {
    return this.#place(new Timer(this.clock));
  }

  timerSet(fd: number, delayUs: number): number {
    const timer = this.#descriptors[fd];
    return timer instanceof Timer ? timer.set(delayUs) : -ERRNO.EBADF;
  }

  #stream(fd: number): StreamSocket | undefined {
    const descriptor = this.#descriptors[fd];
    return descriptor instanceof StreamSocket ? descriptor : undefined;
  }

  #socket(fd: number): StreamSocket | DatagramSocket | undefined {
    const descriptor = this.#descriptors[fd];
    return descriptor instanceof StreamSocket || descriptor instanceof DatagramSocket ? descriptor : undefined;
  }

  #place(descriptor: Descriptor): number {
    const fd = this.#freeNumber();
    this.#descriptors[fd] = descriptor;
    return fd;
  }

  #freeNumber(): number {
    while (this.#descriptors[this.#lowestFree] !== undefined) this.#lowestFree++;
    return this.#lowestFree;
  }

  #makeSocket(family: number, type: number, protocol: number): StreamSocket | DatagramSocket | number {
    const local = unspecified(family);
    const { sendBytesMax, receiveBytesMax } = this.#options;
    if (type === SOCKET_TYPE.STREAM) {
      if (protocol !== SOCKET_PROTOCOL.DEFAULT && protocol !== SOCKET_PROTOCOL.TCP) return -ERRNO.EPROTONOSUPPORT;
      return new StreamSocket(family, local, sendBytesMax, receiveBytesMax);
    }
    if (type !== SOCKET_TYPE.DGRAM) return -ERRNO.EPERM;
    const ping = family === SOCKET_FAMILY.INET ? SOCKET_PROTOCOL.ICMP : SOCKET_PROTOCOL.ICMPV6;
    const isPing = protocol === ping;
    if (!isPing && protocol !== SOCKET_PROTOCOL.DEFAULT && protocol !== SOCKET_PROTOCOL.UDP)
      return -ERRNO.EPROTONOSUPPORT;
    return new DatagramSocket(family, isPing, local, this.network, receiveBytesMax);
  }

  #peek(fd: number, pieces: readonly Uint8Array[], skip: number, scratch: number): number {
    if (skip > 0 && skip > this.memories.byteLength(scratch)) throw new RangeError(`${skip} bytes exceed scratch`);
    const socket = this.#stream(fd);
    if (socket === undefined) return -ERRNO.EBADF;
    const failed = this.#fault('peek', socket);
    return failed !== 0 ? failed : socket.peek(pieces, this.#shorten('peek', socket, totalBytes(pieces)), skip);
  }

  #bindStream(socket: StreamSocket, local: typeof socket.local, reuse: boolean): number {
    const taken = this.network.ports.take('tcp', socket, local, reuse);
    if (typeof taken === 'number') return taken;
    socket.local = taken;
    socket.onClose = () => {
      this.network.ports.free('tcp', socket, taken);
      this.network.unlisten(socket);
    };
    return 0;
  }

  /** -errno when the seed wants this call to fail, and the wake-up that follows such a shortage. */
  #fault(call: FaultyCall, descriptor: Descriptor): number {
    const failed = this.faults.fail(call);
    if (failed !== 0) this.#wakeLater(descriptor);
    return failed;
  }

  #shorten(call: FaultyCall, descriptor: Descriptor, count: number): number {
    const shortened = this.faults.shorten(call, count);
    if (shortened < count) this.#wakeLater(descriptor);
    return shortened;
  }

  #wakeLater(descriptor: Descriptor): void {
    this.clock.after(FAULT_PASSES_US, () => descriptor.wake(descriptor.readiness()));
  }
}
