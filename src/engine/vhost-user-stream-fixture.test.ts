/**
 * A virtual machine with one TCP connection, behind an engine by vhost-user, to a socket of this machine's loopback: it has the buffers of its queues and the numbers of its stream, and
 * nothing is lost in between. Whoever uses it sees what is where.
 */
import assert from 'node:assert/strict';
import { MacAddress } from '../base/address.ts';
import { TARGET_WORDS } from '../flow/flow-table.ts';
import { NameTable } from '../flow/names.ts';
import { VERDICT } from '../flow/policy.ts';
import type { Link } from '../link/link.ts';
import { NO_SERVICES } from '../nodes/service-config.ts';
import { VNET_HEADER_BYTES } from '../packet/packets.ts';
import { LinuxSys } from '../sys/linux.ts';
import { SOCKET_FAMILY, SOCKET_TYPE } from '../sys/sys.ts';
import { WINDOW_SCALE } from '../translate/tcp-columns.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { Engine } from './engine.ts';
import { GuestWiring } from './guest-wiring.ts';
import { BUFFERS_AT, FrontEnd, GUEST_ADDRESS, QUEUE_SIZE } from './vhost-user-front-end-fixture.test.ts';

const MTU = 1500;
const MSS = 1460;
const SCALE = 7;
const GUEST = 0x0a00_020f;
const REMOTE = 0xc633_6407 | 0;
const GUEST_PORT = 4000;
const LOOPBACK = 0x7f00_0001;
const TRANSPORT_AT: number = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES;
export const HEADERS_BYTES: number = TRANSPORT_AT + tcp.HEADER_BYTES;
/** The largest payload of one frame. */
export const PAYLOAD_BYTES: number = 44 * MSS;
/** What the guest receives into. */
export const BUFFER_BYTES = 4096;
const RECEIVE_AT = BUFFERS_AT;
/** Where its first frame lies, and each of the following ones behind it. */
export const FRAMES_AT: number = RECEIVE_AT + QUEUE_SIZE * BUFFER_BYTES;
export const FRAME_STEP_BYTES = 0x1_1000;
export const FRAMES_MAX = 8;
const MEMORY_BYTES = 1 << 20;

export interface StreamGuestOptions {
  readonly lends?: boolean;
  /** A link around the guest's. */
  readonly around?: (link: Link) => Link;
  readonly features?: bigint;
  readonly memoryBytes?: number;
  /** Of queues; one is in use. */
  readonly pairs?: number;
}

export class StreamGuest {
  readonly sys: LinuxSys = new LinuxSys();
  readonly engine: Engine;
  readonly front: FrontEnd;
  /** The host's end. */
  readonly fd: number;
  /** The next number that we send, and the one that they send. */
  sequence: number = 1000;
  acknowledgment: number = 0;
  /** Up to where they take more. */
  edge: number = 0;
  /** Payload bytes that came, in order; segments that did not. */
  receivedBytes: number = 0;
  ended: boolean = false;
  /** Called with each piece of payload that came. */
  onPayload: (bytes: Uint8Array) => void = () => {};
  readonly #far: Uint8Array = new Uint8Array(1 << 20);
  readonly #farMemory: number;
  /** Places of the buffers that are out, by their descriptors. */
  readonly #places: Int32Array = new Int32Array(QUEUE_SIZE);
  /** Bytes of the frame that is being read which are still to come. */
  #unread: number = 0;
  /** Buffers behind this one that it lies in. */
  #buffersLeft: number = 0;

  constructor(options: StreamGuestOptions = {}) {
    const services = { ...NO_SERVICES, ourMac: new MacAddress(0x0200, 2), mtu: MTU };
    const listener = this.#listen();
    const target = Int32Array.of(0, 0, 0xffff, LOOPBACK, listener.port, 0);
    this.engine = new Engine(this.sys, {
      flowsMax: 16,
      policy: {
        decide: (flows, flow) => {
          flows.targets.set(target, flow * TARGET_WORDS);
          return VERDICT.ALLOW;
        },
      },
      callers: { map: () => {} },
      names: new NameTable(),
      wiring: new GuestWiring({ services, localNames: new Map() }),
      observer: () => ({ opened: () => {}, closed: () => {} }),
      random: () => 7,
    });
    const { packets, arenaMemory } = this.engine;
    this.front = new FrontEnd(options.pairs ?? 1, {
      sys: this.sys,
      packets,
      arenaMemory,
      memoryBytes: options.memoryBytes ?? MEMORY_BYTES,
      lends: options.lends ?? true,
    });
    this.front.negotiate(options.features);
    this.front.start();
    const { link } = this.front;
    this.engine.addLink(options.around?.(link) ?? link, link.fd, {
      index: 0,
      mtu: MTU,
      ourMacHigh: 0x0200,
      ourMacLow: 2,
      offload: link.offload,
    });
    this.#farMemory = this.sys.register(this.#far);
    for (let i = 0; i < QUEUE_SIZE; i++) this.#offer(RECEIVE_AT + i * BUFFER_BYTES);
    this.#publish(0);
    this.fd = this.#connect(listener.fd);
  }

  /** Sends a frame of payload, in `pieces` buffers, that lies in the place `index`: its headers are written, its payload is the caller's. */
  sendFrame(index: number, payloadBytes: number, pieces: number = 1, port: number = GUEST_PORT): void {
    const at = FRAMES_AT + index * FRAME_STEP_BYTES;
    this.#writeHeaders(at, payloadBytes, tcp.ACK);
    tcp.setSourcePort(this.front.view, at + VNET_HEADER_BYTES + TRANSPORT_AT, port);
    this.sequence = (this.sequence + payloadBytes) | 0;
    this.#send(at, VNET_HEADER_BYTES + HEADERS_BYTES + payloadBytes, pieces);
  }

  /** Where the payload of the frame in a place begins. */
  payloadAt(index: number): number {
    return FRAMES_AT + index * FRAME_STEP_BYTES + VNET_HEADER_BYTES + HEADERS_BYTES;
  }

  /** What is in the next buffer that came; it is not offered again. */
  takeBuffer(): Uint8Array {
    const driver = this.front.drivers[0]!;
    const at = this.#places[driver.take()]!;
    return this.front.bytes.slice(at, at + driver.takenBytes);
  }

  /** Acknowledges all that came. */
  acknowledge(): void {
    this.#writeHeaders(FRAMES_AT - 256, 0, tcp.ACK);
    this.#send(FRAMES_AT - 256, VNET_HEADER_BYTES + HEADERS_BYTES, 1);
  }

  /** Turns until there is nothing to do at once. */
  turns(): void {
    while (this.engine.turn());
  }

  /** The buffers of frames that it has back. */
  takeSent(): number {
    let count = 0;
    while (this.front.drivers[1]!.take() >= 0) count++;
    return count;
  }

  /** Reads what came, and offers the buffers again. Returns how many bytes of payload that were. */
  take(): number {
    const before = this.receivedBytes;
    const driver = this.front.drivers[0]!;
    for (let id = driver.take(); id >= 0; id = driver.take()) {
      const at = this.#places[id]!;
      this.#read(at, driver.takenBytes);
      this.#offer(at);
    }
    this.#publish(0);
    return this.receivedBytes - before;
  }

  /** What has arrived at the host's end. */
  hostReceived(): Uint8Array {
    const got = this.sys.receive(this.fd, this.#farMemory, 0, this.#far.length);
    return this.#far.subarray(0, Math.max(0, got));
  }

  hostSends(bytes: Uint8Array): number {
    this.#far.set(bytes);
    return this.sys.write(this.fd, this.#farMemory, 0, bytes.length);
  }

  close(): void {
    this.sys.close(this.fd);
    this.front.close();
    this.engine.close();
    this.sys.unregister(this.#farMemory);
  }

  #listen(): { fd: number; port: number } {
    const fd = this.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, 0);
    const address = Int32Array.of(0, 0, 0xffff, LOOPBACK, 0, 0);
    assert.equal(this.sys.bind(fd, address), 0);
    assert.equal(this.sys.listen(fd, 1), 0);
    assert.equal(this.sys.localAddress(fd, address), 0);
    return { fd, port: address[4]! };
  }

  #connect(listener: number): number {
    const syn = FRAMES_AT - 256;
    this.#writeHeaders(syn, 0, tcp.SYN, tcp.synOptionsBytes(SCALE));
    tcp.writeSynOptions(this.front.view, syn + VNET_HEADER_BYTES + TRANSPORT_AT, MSS, SCALE);
    this.#send(syn, VNET_HEADER_BYTES + HEADERS_BYTES + tcp.synOptionsBytes(SCALE), 1);
    this.sequence++;
    this.turns();
    this.turns();
    this.take();
    assert.notEqual(this.acknowledgment, 0, 'a SYN-ACK came');
    this.acknowledge();
    this.turns();
    const fd = this.sys.accept(listener, new Int32Array(6));
    assert.ok(fd >= 0);
    this.sys.close(listener);
    this.takeSent();
    return fd;
  }

  #writeHeaders(at: number, payloadBytes: number, flags: number, optionBytes: number = 0): void {
    const { view } = this.front;
    const frame = at + VNET_HEADER_BYTES;
    const network = frame + ethernet.HEADER_BYTES;
    const transport = frame + TRANSPORT_AT;
    const total = ipv4.HEADER_BYTES + tcp.HEADER_BYTES + optionBytes + payloadBytes;
    vnet.clear(view, at);
    vnet.setChecksum(view, at, TRANSPORT_AT, tcp.CHECKSUM_OFFSET);
    if (payloadBytes > MSS) vnet.setGso(view, at, vnet.GSO_TCPV4, MSS, HEADERS_BYTES);
    ethernet.writeHeader(view, frame, 0x0200, 2, 0x0200, 1, ethernet.TYPE_IPV4);
    ipv4.writeHeader(view, network, total, tcp.PROTOCOL, GUEST, REMOTE, 64, 0, 0, ipv4.DONT_FRAGMENT);
    const acknowledgment = (flags & tcp.SYN) === 0 ? this.acknowledgment : 0;
    const headerBytes = tcp.HEADER_BYTES + optionBytes;
    tcp.writeHeader(view, transport, GUEST_PORT, 80, this.sequence, acknowledgment, headerBytes, flags, 0xffff);
    tcp.writePartialChecksum(view, network, transport, network + total);
  }

  #send(at: number, bytes: number, pieces: number): void {
    const driver = this.front.drivers[1]!;
    assert.ok(driver.room > 0, 'what was sent was taken back');
    if (pieces === 1) driver.offer(GUEST_ADDRESS + at, bytes, false);
    else this.#offerIndirect(at, bytes, pieces);
    this.#publish(1);
  }

  /** One descriptor which leads to a table of as many as there are pieces; the table lies in front of the frame. */
  #offerIndirect(at: number, bytes: number, pieces: number): void {
    const { view, drivers } = this.front;
    const table = at - 16 * pieces;
    const step = Math.ceil(bytes / pieces);
    for (let i = 0; i < pieces; i++) {
      const entry = table + 16 * i;
      view.setBigUint64(entry, BigInt(GUEST_ADDRESS + at + i * step), true);
      view.setUint32(entry + 8, Math.max(0, Math.min(step, bytes - i * step)), true);
      view.setUint16(entry + 12, i === pieces - 1 ? 0 : 1, true);
      view.setUint16(entry + 14, i + 1, true);
    }
    const id = drivers[1]!.offer(GUEST_ADDRESS + table, 16 * pieces, false);
    view.setUint16(this.front.ringAt(1) + 16 * id + 12, 4, true);
  }

  #offer(at: number): void {
    this.#places[this.front.drivers[0]!.offer(GUEST_ADDRESS + at, BUFFER_BYTES, true)] = at;
  }

  #publish(ring: number): void {
    if (this.front.drivers[ring]!.publish()) this.front.kick(ring);
  }

  /** A buffer that was filled: a frame's first, with its headers, or one behind it. */
  #read(at: number, bytes: number): void {
    const { view } = this.front;
    if (this.#buffersLeft > 0) {
      this.#buffersLeft--;
      this.#readPayload(at, bytes);
      return;
    }
    this.#buffersLeft = vnet.bufferCount(view, at) - 1;
    const frame = at + VNET_HEADER_BYTES;
    const transport = frame + TRANSPORT_AT;
    if (ethernet.type(view, frame) !== ethernet.TYPE_IPV4) return;
    const flags = tcp.flags(view, transport);
    const payload = transport + tcp.dataOffset(view, transport);
    this.#unread = frame + ethernet.HEADER_BYTES + ipv4.totalLength(view, frame + ethernet.HEADER_BYTES) - payload;
    const first = (flags & tcp.SYN) !== 0;
    assert.equal(flags & tcp.RST, 0);
    if (first) this.acknowledgment = (tcp.sequence(view, transport) + 1) | 0;
    else assert.equal(tcp.sequence(view, transport), this.acknowledgment, 'nothing is lost or reordered');
    this.ended = (flags & tcp.FIN) !== 0;
    if (this.ended) this.acknowledgment = (this.acknowledgment + 1) | 0;
    this.edge = (tcp.acknowledgment(view, transport) + (tcp.window(view, transport) << (first ? 0 : WINDOW_SCALE))) | 0;
    if (this.#unread > 0) this.#readPayload(payload, at + bytes - payload);
    assert.equal(this.#buffersLeft > 0, this.#unread > 0);
  }

  #readPayload(at: number, bytes: number): void {
    this.#unread -= bytes;
    assert.equal(this.#unread > 0, this.#buffersLeft > 0, 'a frame has as many buffers as it says');
    this.receivedBytes += bytes;
    this.acknowledgment = (this.acknowledgment + bytes) | 0;
    this.onPayload(this.front.bytes.subarray(at, at + bytes));
  }
}
