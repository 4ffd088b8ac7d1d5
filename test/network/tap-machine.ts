/**
 * What a virtual machine is to an interface with a stream or datagrams, without the machine: a tap in a namespace, whose frames go over the socket and back. The kernel there has a TCP
 * stack like any machine's; what the machine would do to the socket is done here, and it can be paused. In a VLAN, tags are put in and taken off on the way.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import type { Result } from '#tapster/base/result.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { DatagramLink } from '#tapster/link/datagram-link.js';
import type { Link } from '#tapster/link/link.js';
import { StreamLink, type StreamMemory } from '#tapster/link/stream-link.js';
import { TapLink } from '#tapster/link/tap.js';
import { VlanLink } from '#tapster/link/vlan.js';
import { NO_OFFLOAD } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import { untag } from '#tapster/packet/vlan-tag.js';
import { type DatagramPeer, startDatagramPeer } from '#tapster/sys/datagram-peer.js';
import { type HostTap, openHostTap } from '#tapster/sys/host-tap.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { openNetworkNamespace } from '#tapster/sys/namespace-path.js';
import { POLL, POLL_OPERATION } from '#tapster/sys/sys.js';
import { connectUnix, listenUnix, UNIX_TYPE } from '#tapster/sys/unix-socket.js';

const PACKET_BYTES = 1 << 20;
const STREAM_BYTES = 1 << 20;
const TAG_BYTES = 1 << 18;

export interface TapMachineOptions {
  readonly vlan?: number | undefined;
  /** By datagrams, from here; else by a stream. */
  readonly local?: string | undefined;
}

export class TapMachine {
  readonly #sys: LinuxSys = new LinuxSys();
  readonly #memory: Uint8Array = new Uint8Array(PACKET_BYTES + STREAM_BYTES + TAG_BYTES);
  readonly #packets: Packets = new Packets(PACKET_BYTES, 1024, this.#memory);
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #poll: number = this.#sys.pollCreate();
  readonly #watch: number;
  readonly #tap: HostTap;
  readonly #tapLink: TapLink;
  readonly #socket: StreamLink | DatagramLink;
  /** What keeps datagrams going to whoever is Tapster now. */
  #peer: DatagramPeer | undefined;
  /** What the machine sends is given to this. */
  readonly #out: Link;
  #paused: boolean = false;
  #closed: boolean = false;

  /** The machine's device is `eth0` in the namespace, and is not up yet. */
  constructor(namespace: string, socket: string, { vlan, local }: TapMachineOptions = {}) {
    const { fd: namespaceFd } = unwrap(openNetworkNamespace(namespace));
    this.#tap = unwrap(openHostTap({ name: 'eth0', namespaceFd, offloads: 'off' }));
    closeSync(namespaceFd);
    const arenaMemory = this.#sys.register(this.#memory);
    const { hasVnetHeader, fds } = this.#tap;
    this.#tapLink = new TapLink(this.#sys, {
      ...{ name: 'eth0', fd: fds[0]!, arenaMemory, hasVnetHeader, offload: NO_OFFLOAD },
    });
    const memory = { bytes: this.#memory, id: arenaMemory, at: PACKET_BYTES, length: STREAM_BYTES };
    this.#socket = local === undefined ? this.#connect(socket, memory) : this.#exchange(socket, local, memory);
    const tagged = new Packets(TAG_BYTES, FRAME_PACKETS_MAX, this.#memory, PACKET_BYTES + STREAM_BYTES);
    this.#out = vlan === undefined ? this.#socket : new VlanLink('vlan', this.#socket, vlan, tagged);
    for (const { fd } of [this.#tapLink, this.#socket]) {
      this.#sys.pollControl(this.#poll, POLL_OPERATION.ADD, fd, POLL.IN, 0);
    }
    this.#watch = this.#sys.watchReadable(this.#poll, () => this.#turn());
  }

  /** Reads nothing from the socket any more; what the machine sends goes on. */
  pause(): void {
    this.#paused = true;
    this.#sys.pollControl(this.#poll, POLL_OPERATION.REMOVE, this.#socket.fd, 0, 0);
  }

  resume(): void {
    this.#paused = false;
    this.#sys.pollControl(this.#poll, POLL_OPERATION.ADD, this.#socket.fd, POLL.IN, 0);
  }

  close(): void {
    this.#closed = true;
    this.#sys.unwatch(this.#watch);
    for (const link of [this.#tapLink, this.#socket]) link.close();
    this.#tap.netlink.close();
    this.#peer?.end();
    closeSync(this.#poll);
  }

  #connect(socket: string, memory: StreamMemory): StreamLink {
    return new StreamLink(this.#sys, { name: 'stream', fd: unwrap(connectUnix(socket)), memory });
  }

  #exchange(socket: string, local: string, queue: StreamMemory): DatagramLink {
    const { fd } = unwrap(listenUnix(local, UNIX_TYPE.DATAGRAM));
    const peer = unwrap(startDatagramPeer(fd, socket));
    this.#peer = peer;
    this.#sys.pollControl(this.#poll, POLL_OPERATION.ADD, peer.fd, POLL.IN, 0);
    return new DatagramLink(this.#sys, {
      ...{ name: 'datagrams', fd, queue, present: false },
      onAway: () => peer.look(),
    });
  }

  #turn(): void {
    if (this.#closed) return;
    this.#hear();
    this.#socket.drain();
    const sent = this.#move(this.#tapLink, this.#out);
    const received = !this.#paused && this.#move(this.#socket, this.#tapLink);
    if (sent || received) setImmediate(() => this.#turn());
  }

  #hear(): void {
    for (let told = this.#peer?.read(); typeof told === 'object'; told = this.#peer?.read()) {
      (this.#socket as DatagramLink).present = told.error === 0;
    }
  }

  /** Returns whether there was something. The end of the stream is for the test to see. */
  #move(from: Link, to: Link): boolean {
    const got = from.receive(this.#packets, this.#frame, FRAME_PACKETS_MAX);
    if (from === this.#socket) for (let i = 0; i < got; i++) untag(this.#packets, this.#frame[i]!);
    if (got > 0) to.transmit(this.#packets, this.#frame, got);
    this.#packets.reset();
    return got > 0;
  }
}

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}
