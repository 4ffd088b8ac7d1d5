/** An interface of a running network: what it was made of, and what it has become. */
import type { IpAddress, IpPrefix } from '../base/address.ts';
import type { Contents, MachinePart, TapPart } from '../config/parts.ts';
import type { TapBackend, TapQueueLink } from '../engine/tap-backend.ts';
import type { CapturePoint } from '../link/capture-point.ts';
import type { Coalesce } from '../link/coalesce.ts';
import type { GuestPort } from '../link/guest-port.ts';
import type { Link } from '../link/link.ts';
import type { SoftwareOffload } from '../link/software-offload.ts';
import type { TunLink } from '../link/tun-link.ts';
import type { LinkOffload } from '../packet/offload.ts';
import type { TapDevice } from './tap-device.ts';

export type VlanPart = Extract<Contents, { kind: 'vlan' }>;
export type BviPart = Extract<Contents, { kind: 'bvi' }>;

interface PortCommon {
  readonly name: string;
  /** Never another's. */
  readonly index: number;
  /** As configured; a sub-interface carries nothing while its parent is down. */
  up: boolean;
  /** The bridge that it is a member or the BVI of. */
  bridge: string | undefined;
}

export interface TapPort extends PortCommon {
  readonly kind: 'tap';
  part: TapPart;
  /** Among taps. */
  readonly id: number;
  readonly device: TapDevice;
  /** How frames are moved, on all queues. */
  readonly backend: TapBackend;
  /** One for each queue. */
  readonly links: readonly TapQueueLink[];
  /** Around these, where it is a TUN device. */
  readonly tuns: readonly TunLink[];
  /** What frames for it are given to. */
  readonly link: Link;
  readonly software: SoftwareOffload;
  readonly coalesce: Coalesce;
  /** What is read, for each queue: around the links above. */
  readonly queueLinks: readonly Link[];
  /** Addresses that the kernel's side was given. */
  readonly hostAddresses: IpPrefix[];
  /** Default routes that it was given. */
  readonly hostGateways: IpAddress[];
}

/** A virtual machine is plugged in here, or none. */
export interface MachinePort extends PortCommon {
  readonly kind: MachinePart['kind'];
  part: MachinePart;
  /** Its place in the memory of streams and datagrams; -1: it needs none. */
  readonly slot: number;
  readonly entrance: Entrance;
  /** Where the machine's links are plugged in: one for each pair of queues. */
  readonly guests: readonly GuestPort[];
  /** What is read, for each: around the ones above. */
  readonly queueLinks: readonly CapturePoint[];
  /** What frames for the machine are given to: the first of them. */
  readonly link: CapturePoint;
  readonly software: SoftwareOffload;
  machine: Machine | undefined;
}

/** Where machines come: a socket at a path. */
export interface Entrance {
  /** Where machines have no connection: carries the frames of whoever is there. */
  readonly link?: Link & { readonly fd: number };
  /** The machine has gone: another may come. */
  release(): void;
  /** Nobody comes any more, and the path is removed. */
  close(): void;
}

/** A machine that is plugged in. */
export interface Machine {
  /** Those that came with it: their descriptors are polled. */
  readonly links: readonly (Link & { readonly fd: number })[];
  /** It does not tell when there is something to read. */
  readonly needsPolling?: boolean;
  /** Whether its queues are read without it telling us. */
  setPolled?(polled: boolean): void;
  /** Ends its connection; its links are to be closed behind that. */
  close(): void;
}

/** What has another side of its own, and may have sub-interfaces. */
export type DevicePort = TapPort | MachinePort;

export interface VlanPort extends PortCommon {
  readonly kind: 'vlan';
  part: VlanPart;
  readonly parent: DevicePort;
  readonly link: Link;
}

export interface BviPort extends PortCommon {
  readonly kind: 'bvi';
  part: BviPart;
}

export type Port = DevicePort | VlanPort | BviPort;

/** Whether frames pass: a sub-interface needs its parent. */
export function carries(port: Port): boolean {
  return port.up && (port.kind !== 'vlan' || port.parent.up);
}

export function isDevice(port: Port): port is DevicePort {
  return port.kind !== 'vlan' && port.kind !== 'bvi';
}

/** What is taken unfinished. A bridge takes everything: what a member does not take is done in front of it. */
export function offloadOf(port: Port): LinkOffload {
  if (port.kind === 'bvi') return EVERYTHING;
  return (port.kind === 'vlan' ? port.parent : port).software.unfinished;
}

const EVERYTHING: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: true };

/** The interfaces that there are, by name and by index. */
export class Ports {
  readonly #byName: Map<string, Port> = new Map();
  readonly #byIndex: Map<number, Port> = new Map();

  add(port: Port): void {
    this.#byName.set(port.name, port);
    this.#byIndex.set(port.index, port);
  }

  remove(port: Port): void {
    this.#byName.delete(port.name);
    this.#byIndex.delete(port.index);
  }

  find(name: string): Port | undefined {
    return this.#byName.get(name);
  }

  at(index: number): Port | undefined {
    return this.#byIndex.get(index);
  }

  /** In the order of creation. */
  *[Symbol.iterator](): Generator<Port, void, undefined> {
    yield* this.#byName.values();
  }

  taps(): TapPort[] {
    return [...this].filter((port) => port.kind === 'tap');
  }

  devices(): DevicePort[] {
    return [...this].filter(isDevice);
  }

  machines(): MachinePort[] {
    return this.devices().filter((port) => port.kind !== 'tap');
  }

  nameOf(index: number): string | undefined {
    return this.#byIndex.get(index)?.name;
  }

  /** The sub-interfaces of a device. */
  under(parent: DevicePort): VlanPort[] {
    return [...this].filter((port) => port.kind === 'vlan').filter((port) => port.parent === parent);
  }
}
