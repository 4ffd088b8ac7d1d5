/**
 * Interfaces that virtual machines are plugged into (`stream`): a socket that listens as long as the interface is there, and the machine that has come, if one has. A machine that
 * goes takes its link with it and nothing else: addresses, routes, membership in a bridge and admin state stay for the next one.
 */
import { unlinkSync } from 'node:fs';
import { assert } from '../base/assert.ts';
import { STREAM_INTERFACES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { StreamPart } from '../config/parts.ts';
import { GuestListener } from '../engine/guest-listener.ts';
import { CapturePoint } from '../link/capture-point.ts';
import { GuestPort } from '../link/guest-port.ts';
import { SoftwareOffload } from '../link/software-offload.ts';
import { StreamLink } from '../link/stream-link.ts';
import { listenUnix } from '../sys/unix-socket.ts';
import { type DataPlane, randomMac } from './data-plane.ts';
import type { StreamPort } from './port.ts';

const DONE: Result<void> = success(undefined);

export class StreamParts {
  readonly #plane: DataPlane;
  /** Hears of machines that come (`peer`: who), go, and are sent away. */
  onGuest: (port: StreamPort, what: 'attached' | 'detached' | 'refused', peer: string) => void = () => {};

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  add(part: StreamPart): Result<void> {
    const slot = this.#freeSlot();
    if (slot < 0) {
      return failure('streams-full', `there are ${STREAM_INTERFACES_MAX} interfaces with a stream: remove one`);
    }
    const listening = listenUnix(part.stream.socket);
    if (!listening.ok) return listening;
    const { engine, forwarding, segments, captures, ports } = this.#plane;
    const guest = new GuestPort(part.interface);
    const listener = new GuestListener(engine, listening.value, {
      attached: (fd, peer) => this.#plug(port, fd, peer),
      refused: (peer) => this.onGuest(port, 'refused', peer),
      removePath: () => removePath(part.stream.socket),
    });
    const index = forwarding.addInterface(part.mac ?? randomMac(), part.mtu);
    if (!index.ok) {
      listener.close();
      return index;
    }
    const software = new SoftwareOffload(guest, segments);
    const link = new CapturePoint(software);
    const port: StreamPort = {
      ...{ kind: 'stream', name: part.interface, index: index.value, part, slot, listener, guest, software, link },
      ...{ fd: -1, up: false, bridge: undefined },
    };
    engine.addInterface(index.value, link);
    captures.addInterface(index.value, part.interface, link);
    forwarding.interfaces.promiscuous[index.value] = part.promiscuous ? 1 : 0;
    ports.add(port);
    this.#plane.refresh(port);
    return DONE;
  }

  remove(part: StreamPart): void {
    const port = this.#port(part.interface);
    port.listener.close();
    this.#plane.remove(port);
  }

  /** All but the socket. */
  change(to: StreamPart): Result<void> {
    const port = this.#port(to.interface);
    const { forwarding } = this.#plane;
    forwarding.interfaces.mtu[port.index] = to.mtu;
    forwarding.interfaces.promiscuous[port.index] = to.promiscuous ? 1 : 0;
    if (to.mac !== undefined) forwarding.setMac(port.index, to.mac);
    port.part = to;
    this.#plane.refresh(port);
    return DONE;
  }

  /** The machine has gone. May be called within a turn. */
  unplug(port: StreamPort): void {
    this.#plane.engine.removeQueue(port.index, port.fd);
    port.guest.unplug();
    port.fd = -1;
    port.listener.release();
    this.onGuest(port, 'detached', '');
  }

  /** The engine ends: nobody is to find the sockets. */
  release(): void {
    for (const { listener } of this.#plane.ports.streams()) listener.close();
  }

  #plug(port: StreamPort, fd: number, peer: string): void {
    const { engine, sys } = this.#plane;
    port.fd = fd;
    port.guest.plug(new StreamLink(sys, { name: port.name, fd, memory: this.#plane.streamMemory(port.slot) }));
    engine.addQueue(port.index, port.link, fd);
    this.#plane.wiring.announce(port.index);
    this.onGuest(port, 'attached', peer);
  }

  /** A place in the memory that streams have; -1: all are taken. */
  #freeSlot(): number {
    const taken = new Set(this.#plane.ports.streams().map(({ slot }) => slot));
    for (let slot = 0; slot < STREAM_INTERFACES_MAX; slot++) if (!taken.has(slot)) return slot;
    return -1;
  }

  #port(name: string): StreamPort {
    const port = this.#plane.ports.find(name);
    assert(port?.kind === 'stream', 'a stream is there before what needs it');
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
