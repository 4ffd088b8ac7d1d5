/**
 * Interfaces that virtual machines are plugged into (`stream`, `datagram`, `vhostUser`): a socket at a path as long as the interface is there, and the machine that has come, if one has. A
 * machine that goes takes its links with it and nothing else: addresses, routes, membership in a bridge and admin state stay for the next one. Datagrams have no connections: there
 * the link is the interface's, from the beginning to the end.
 *
 * A machine by vhost-user may use several pairs of queues. What it sends comes by each; what is sent to it is given to the link of the first, and leaves by
 * whichever it belongs to (`link/receive-steering.ts`).
 */
import { closeSync, unlinkSync } from 'node:fs';
import { assert } from '../base/assert.ts';
import { STREAM_INTERFACES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { MachinePart } from '../config/parts.ts';
import { DatagramGuest } from '../engine/datagram-guest.ts';
import { GuestListener } from '../engine/guest-listener.ts';
import { VhostUserGuest } from '../engine/vhost-user-guest.ts';
import { CapturePoint } from '../link/capture-point.ts';
import { GuestPort } from '../link/guest-port.ts';
import { SoftwareOffload } from '../link/software-offload.ts';
import { StreamLink } from '../link/stream-link.ts';
import { startDatagramPeer } from '../sys/datagram-peer.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { listenUnix, UNIX_TYPE } from '../sys/unix-socket.ts';
import { type DataPlane, randomMac } from './data-plane.ts';
import { type Entrance, isDevice, type Machine, type MachinePort } from './port.ts';

/** What happens to machines: one has come, has gone, was sent away since there is one already, or did what can't be. */
export type MachineEvent = 'attached' | 'detached' | 'refused' | 'failed';

const DONE: Result<void> = success(undefined);
const NO_SLOT = -1;
/** A machine whose frames come by the interface's own link. */
const CONNECTIONLESS: Machine = { links: [], close: () => {} };

type DatagramPart = Extract<MachinePart, { kind: 'datagram' }>;

export class MachineParts {
  readonly #plane: DataPlane;
  /** `about`: who came, why one went if not of itself, what one did. */
  onMachine: (port: MachinePort, event: MachineEvent, about: string) => void = () => {};

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  add(part: MachinePart): Result<void> {
    const slot = part.kind === 'vhost-user' ? NO_SLOT : this.#freeSlot();
    if (part.kind !== 'vhost-user' && slot === NO_SLOT) {
      const most = `${STREAM_INTERFACES_MAX} interfaces with a stream or datagrams`;
      return failure('streams-full', `there are ${most}: remove one`);
    }
    const { forwarding, segments, captures, engine, ports } = this.#plane;
    const opened =
      part.kind === 'datagram' ? this.#awaitDatagrams(part, slot, () => port) : this.#listen(part, () => port);
    if (!opened.ok) return opened;
    const entrance = opened.value;
    const index = forwarding.addInterface(part.mac ?? randomMac(), part.mtu);
    if (!index.ok) {
      entrance.close();
      entrance.link?.close();
      return index;
    }
    const pairs = part.kind === 'vhost-user' ? part.settings.queues : 1;
    const guests = Array.from({ length: pairs }, () => new GuestPort(part.interface));
    const software = new SoftwareOffload(guests[0]!, segments);
    const queueLinks = guests.map((guest, pair) => new CapturePoint(pair === 0 ? software : guest));
    const port: MachinePort = {
      ...{
        kind: part.kind,
        name: part.interface,
        index: index.value,
        part,
        slot,
        entrance,
        guests,
        software,
        queueLinks,
      },
      ...{ link: queueLinks[0]!, machine: undefined, up: false, bridge: undefined },
    };
    engine.addInterface(index.value, port.link);
    for (const point of queueLinks) captures.addInterface(index.value, part.interface, point);
    forwarding.interfaces.promiscuous[index.value] = part.promiscuous ? 1 : 0;
    ports.add(port);
    if (entrance.link !== undefined) this.#connect(port, [entrance.link]);
    this.#plane.refresh(port);
    return DONE;
  }

  remove(part: MachinePart): void {
    const port = this.#port(part.interface);
    port.entrance.close();
    // It hears of the end of its flows before its links go.
    this.#plane.engine.closeFlows(port.index);
    this.#disconnect(port);
    this.#plane.remove(port);
  }

  /** All but the socket. */
  change(to: MachinePart): Result<void> {
    const port = this.#port(to.interface);
    const { forwarding } = this.#plane;
    forwarding.interfaces.mtu[port.index] = to.mtu;
    forwarding.interfaces.promiscuous[port.index] = to.promiscuous ? 1 : 0;
    if (to.mac !== undefined) forwarding.setMac(port.index, to.mac);
    port.part = to;
    this.#follow(port);
    this.#plane.refresh(port);
    return DONE;
  }

  /** A machine's connection has failed. May be called within a turn. */
  lose(port: MachinePort, errno: number): void {
    this.#unplug(port, errno === ERRNO.EPIPE ? '' : errnoName(errno));
  }

  /** The engine ends: nobody is to find the sockets. */
  release(): void {
    for (const port of this.#plane.ports.machines()) {
      port.entrance.close();
      this.#disconnect(port);
    }
  }

  /** `portOf`: the interface, of which there is no more than the socket yet. */
  #listen(part: MachinePart, portOf: () => MachinePort): Result<Entrance> {
    const { socket } = part.settings;
    const listening = listenUnix(socket);
    if (!listening.ok) return listening;
    const listener = new GuestListener(this.#plane.engine, listening.value, {
      attached: (fd, peer) => this.#plug(portOf(), fd, peer),
      refused: (peer) => this.onMachine(portOf(), 'refused', peer),
      removePath: () => removePath(socket),
    });
    return success(listener);
  }

  #awaitDatagrams(part: DatagramPart, slot: number, portOf: () => MachinePort): Result<Entrance> {
    const { engine, sys } = this.#plane;
    const { socket, peer: peerPath } = part.settings;
    const bound = listenUnix(socket, UNIX_TYPE.DATAGRAM);
    if (!bound.ok) return bound;
    const { fd } = bound.value;
    const peer = startDatagramPeer(fd, peerPath);
    if (!peer.ok) {
      closeSync(fd);
      removePath(socket);
      return peer;
    }
    const options = { name: part.interface, fd, queue: this.#plane.streamMemory(slot) };
    const guest = new DatagramGuest(engine, sys, peer.value, options, {
      attached: () => this.#attach(portOf(), CONNECTIONLESS, `the guest at ${peerPath}`),
      gone: () => this.#unplug(portOf(), ''),
      unreachable: (why) => this.onMachine(portOf(), 'failed', `${peerPath} can't be reached: ${why}`),
    });
    return success({
      link: guest.link,
      release: () => {},
      close: () => {
        guest.close();
        removePath(socket);
      },
    });
  }

  #plug(port: MachinePort, fd: number, peer: string): void {
    const machine = port.kind === 'stream' ? this.#connectStream(port, fd) : this.#connectVhostUser(port, fd);
    this.#connect(port, machine.links);
    this.#attach(port, machine, peer);
  }

  #connect(port: MachinePort, links: Machine['links']): void {
    for (const [pair, link] of links.entries()) {
      port.guests[pair]!.plug(link);
      this.#plane.engine.addQueue(port.index, port.queueLinks[pair]!, link.fd);
    }
  }

  #attach(port: MachinePort, machine: Machine, peer: string): void {
    port.machine = machine;
    this.#follow(port);
    this.#plane.wiring.announce(port.index);
    this.onMachine(port, 'attached', peer);
  }

  /** Has the machine, if there is one, looked after in the mode that is wanted now; the event loop has its own. */
  #follow({ index, part, machine }: MachinePort): void {
    if (part.kind !== 'vhost-user') return;
    const polled = part.settings.rxMode === 'polling' || machine?.needsPolling === true;
    machine?.setPolled?.(polled);
    this.#plane.engine.setPolled(index, polled);
  }

  #connectStream(port: MachinePort, fd: number): Machine {
    const memory = this.#plane.streamMemory(port.slot);
    return { links: [new StreamLink(this.#plane.sys, { name: port.name, fd, memory })], close: () => {} };
  }

  #connectVhostUser(port: MachinePort, fd: number): Machine {
    const { engine, sys } = this.#plane;
    const connection = { name: port.name, fd, pairs: port.guests.length, arenaMemory: engine.arenaMemory };
    return new VhostUserGuest(engine, sys, connection, {
      gone: (why) => this.#unplug(port, why),
      polling: () => this.#follow(port),
      log: (text) => this.onMachine(port, 'failed', text),
    });
  }

  /** The machine has gone: another may come. */
  #unplug(port: MachinePort, why: string): void {
    this.#disconnect(port);
    this.onMachine(port, 'detached', why);
    port.entrance.release();
  }

  #disconnect(port: MachinePort): void {
    const { machine } = port;
    if (machine === undefined) return;
    port.machine = undefined;
    for (const { fd } of machine.links) this.#plane.engine.removeQueue(port.index, fd);
    machine.close();
    if (machine !== CONNECTIONLESS) for (const guest of port.guests) guest.unplug();
  }

  /** A place in the memory that streams have; `NO_SLOT`: all are taken. */
  #freeSlot(): number {
    const taken = new Set(this.#plane.ports.machines().map(({ slot }) => slot));
    for (let slot = 0; slot < STREAM_INTERFACES_MAX; slot++) if (!taken.has(slot)) return slot;
    return NO_SLOT;
  }

  #port(name: string): MachinePort {
    const port = this.#plane.ports.find(name);
    assert(
      port !== undefined && isDevice(port) && port.kind !== 'tap',
      'a machine has its interface before what needs it',
    );
    return port;
  }
}

function removePath(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody has removed it.
  }
}
