/** Parts of a configuration that are taps, and what stands on their kernel's side. */

import { equalAddress, MacAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { type Failure, failure, type Result, success } from '../base/result.ts';
import type { DefaultsConfig, TapConfig } from '../config/config.ts';
import type { Contents, TapPart } from '../config/parts.ts';
import { sameValue } from '../config/same-value.ts';
import type { RxMode } from '../engine/event-loop.ts';
import { openTapLink, type TapBackend, type TapQueueLink } from '../engine/tap-backend.ts';
import { CapturePoint } from '../link/capture-point.ts';
import { Coalesce } from '../link/coalesce.ts';
import { SoftwareOffload } from '../link/software-offload.ts';
import { TUN_HEADROOM_BYTES, TunLink } from '../link/tun-link.ts';
import { VhostNetLink } from '../link/vhost-net.ts';
import { ERRNO } from '../sys/errno.ts';
import { type DataPlane, randomMac } from './data-plane.ts';
import type { TapPort } from './port.ts';
import { openTapDevice, type TapDevice } from './tap-device.ts';

type Of<Kind extends Contents['kind']> = Extract<Contents, { kind: Kind }>;

const DONE: Result<void> = success(undefined);

export type OpenTap = (part: TapPart) => Result<TapDevice>;

/** A change with the one that undoes it. */
type Step = readonly [does: () => Result<void>, undoes: () => Result<void>];

export class TapParts {
  readonly #plane: DataPlane;
  readonly #open: OpenTap;
  /** Hears why a tap whose backend was left to us has not the faster one. */
  onRefused: (interfaceName: string, why: Failure) => void = () => {};
  /** What holds for all taps. */
  defaults: Pick<DefaultsConfig, 'taps'> = { taps: 'enabled' };

  /** `open` makes the kernel's side. */
  constructor(plane: DataPlane, open: OpenTap = openTapDevice) {
    this.#plane = plane;
    this.#open = open;
  }

  add(part: TapPart): Result<void> {
    if (this.defaults.taps === 'disabled') {
      return failure('taps-disabled', `${part.interface} can not be made: taps are switched off (defaults.taps)`);
    }
    const device = this.#open(part);
    if (!device.ok) return device;
    const mac = part.mac ?? randomMac();
    const index = this.#plane.forwarding.addInterface(mac, part.mtu);
    const silent = index.ok ? device.value.setCarrier(false) : index;
    const links: TapQueueLink[] = [];
    const backend = silent.ok ? this.#openLinks(part, device.value, links) : silent;
    if (!index.ok || !backend.ok) {
      if (index.ok) this.#plane.forwarding.removeInterface(index.value);
      device.value.letGo();
      device.value.close(links.length);
      for (const link of links) link.close();
      return backend as Result<never>;
    }
    this.#connect(part, device.value, index.value, links, backend.value);
    return DONE;
  }

  remove(part: TapPart): void {
    const port = this.#port(part.interface);
    port.device.letGo();
    this.#plane.remove(port);
  }

  /** Changes what can be changed while it runs; when one change fails those before it are undone. */
  change(to: TapPart): Result<void> {
    const port = this.#port(to.interface);
    const done: Step[] = [];
    for (const step of this.#steps(port, port.part, to)) {
      const [does] = step;
      const result = does();
      if (!result.ok) {
        for (const [, undoes] of done.reverse()) undoes();
        return result;
      }
      done.push(step);
    }
    port.part = to;
    this.#plane.refresh(port);
    return DONE;
  }

  /** Taps that were deleted by others, where nothing that is read or polled may tell of it: vhost-net is silent about a tap that has no traffic. */
  tellOfLost(): void {
    for (const { backend, device, index } of this.#plane.ports.taps()) {
      if (backend === 'vhost-net' && !device.lost && device.isGone) this.#plane.engine.onLinkLost(index, ERRNO.EBADFD);
    }
  }

  /** The engine ends: taps that were there before it are given back without what it gave them; those that are to persist stay as they are. */
  release(): void {
    for (const { device, hostAddresses, hostGateways } of this.#plane.ports.taps()) {
      if (!device.tap.attached || device.lost) continue;
      for (const gateway of hostGateways) device.removeGateway(gateway);
      for (const address of hostAddresses) device.removeAddress(address);
    }
  }

  addHostAddress({ interface: name, address }: Of<'host-address'>): Result<void> {
    const { device, hostAddresses } = this.#port(name);
    const added = device.addAddress(address);
    if (added.ok) hostAddresses.push(address);
    return added;
  }

  removeHostAddress({ interface: name, address }: Of<'host-address'>): Result<void> {
    const { device, hostAddresses } = this.#port(name);
    const removed = device.lost ? DONE : device.removeAddress(address);
    if (removed.ok) takeOut(hostAddresses, (each) => equalAddress(each.address, address.address));
    return removed;
  }

  addHostGateway({ interface: name, gateway }: Of<'host-gateway'>): Result<void> {
    const { device, hostGateways } = this.#port(name);
    const added = device.addGateway(gateway);
    if (added.ok) hostGateways.push(gateway);
    return added;
  }

  removeHostGateway({ interface: name, gateway }: Of<'host-gateway'>): Result<void> {
    const { device, hostGateways } = this.#port(name);
    const removed = device.lost ? DONE : device.removeGateway(gateway);
    if (removed.ok) takeOut(hostGateways, (each) => equalAddress(each, gateway));
    return removed;
  }

  /** A TUN device's packets with Ethernet headers. */
  #asEthernet(link: TapQueueLink, index: number): TunLink {
    const { macHigh, macLow } = this.#plane.forwarding.interfaces;
    return new TunLink(link, {
      ourMac: new MacAddress(macHigh[index]!, macLow[index]!),
      peerMac: randomMac(),
      onAnswer: () => this.#plane.engine.wake(index),
    });
  }

  /** Puts a link on each queue into `links`. The backend is that of the first, which those behind it follow. After a failure the descriptors without a link are open. */
  #openLinks({ interface: name, tap }: TapPart, device: TapDevice, links: TapQueueLink[]): Result<TapBackend> {
    const { engine, sys } = this.#plane;
    let backend = backendOf(tap);
    for (const tapFd of device.fds) {
      const opened = openTapLink(sys, {
        ...{ name, tapFd, backend, ringSizes: tap.ringSizes },
        hasVnetHeader: device.tap.hasVnetHeader,
        offload: device.offload,
        arenaMemory: engine.arenaMemory,
        headroom: tap.mode === 'tun' ? TUN_HEADROOM_BYTES : 0,
      });
      if (!opened.ok) return opened;
      links.push(opened.value.link);
      backend = opened.value.backend;
      if (opened.value.refused !== undefined) this.onRefused(name, opened.value.refused);
    }
    return success(backend as TapBackend);
  }

  #connect(part: TapPart, device: TapDevice, index: number, links: readonly TapQueueLink[], backend: TapBackend): void {
    const { engine, joined, segments, ports } = this.#plane;
    const tuns = part.tap.mode === 'tun' ? links.map((link) => this.#asEthernet(link, index)) : [];
    const queues = tuns.length > 0 ? tuns : links;
    const software = new SoftwareOffload(queues[0]!, segments);
    const coalesce = new Coalesce(software, joined, part.tap.groCoalesce);
    const link = new CapturePoint(coalesce);
    engine.addInterface(index, link);
    const queueLinks = queues.map((each, queue) => (queue === 0 ? link : new CapturePoint(each)));
    for (const [queue, point] of queueLinks.entries()) {
      engine.addQueue(index, point, links[queue]!.fd);
      this.#plane.captures.addInterface(index, part.interface, point);
    }
    const id = part.tap.id ?? this.#freeId();
    const port: TapPort = {
      ...{ kind: 'tap', name: part.interface, index, part, id, device, backend, links, tuns, link, software, coalesce },
      queueLinks,
      ...{ up: false, bridge: undefined, hostAddresses: [], hostGateways: [] },
    };
    this.#plane.forwarding.interfaces.promiscuous[index] = part.promiscuous ? 1 : 0;
    ports.add(port);
    this.#setPolled(port, part.tap.rxMode);
    this.#plane.refresh(port);
  }

  /** Rings are looked at without being told; whoever reads is told by the poll set, which the event loop asks all the time then. */
  #setPolled({ index, backend, links }: TapPort, rxMode: RxMode): void {
    if (backend !== 'vhost-net') return;
    const polled = rxMode === 'polling';
    for (const link of links) if (link instanceof VhostNetLink) link.setInterrupts(!polled);
    this.#plane.engine.setPolled(index, polled);
  }

  #steps(port: TapPort, from: TapPart, to: TapPart): Step[] {
    const { device, index } = port;
    const { interfaces } = this.#plane.forwarding;
    const steps: Step[] = [];
    const onDifference = <T>(before: T, after: T, set: (value: T) => Result<void>): void => {
      if (!sameValue(before, after)) steps.push([() => set(after), () => set(before)]);
    };
    onDifference(from.mtu, to.mtu, (mtu) => {
      interfaces.mtu[index] = mtu;
      return DONE;
    });
    onDifference(from.promiscuous, to.promiscuous, (on) => {
      interfaces.promiscuous[index] = on ? 1 : 0;
      return DONE;
    });
    onDifference(from.mac, to.mac, (mac) => {
      if (mac === undefined) return DONE;
      this.#plane.forwarding.setMac(index, mac);
      for (const tun of port.tuns) tun.ourMac = mac;
      return DONE;
    });
    onDifference(from.hostMtu, to.hostMtu, (mtu) => device.change({ mtu }));
    onDifference(from.tap.host.mac, to.tap.host.mac, (mac) => (mac === undefined ? DONE : device.change({ mac })));
    onDifference(from.tap.host.bridge, to.tap.host.bridge, (bridge) => device.setBridge(bridge));
    onDifference(from.tap.rxMode, to.tap.rxMode, (rxMode) => {
      this.#setPolled(port, rxMode);
      return DONE;
    });
    onDifference(from.tap.offload, to.tap.offload, (offload) => {
      const set = device.setOffload(offload);
      for (const link of port.links) link.offload = device.offload;
      return set;
    });
    onDifference(from.tap.groCoalesce, to.tap.groCoalesce, (on) => {
      port.coalesce.enabled = on;
      return DONE;
    });
    return steps;
  }

  #port(name: string): TapPort {
    const port = this.#plane.ports.find(name);
    assert(port?.kind === 'tap', 'a tap is there before what needs it');
    return port;
  }

  /** The lowest number that no tap has. */
  #freeId(): number {
    const taken = new Set(this.#plane.ports.taps().map(({ id }) => id));
    let id = 0;
    while (taken.has(id)) id++;
    return id;
  }
}

/** What fits to the rest of it, where there is a choice. */
function backendOf({ backend, mode, placement }: TapConfig): TapConfig['backend'] {
  // What vhost-net gives it the kernel takes for Ethernet frames, even of a TUN device (tun_xdp_one in drivers/net/tun.c).
  if (mode === 'tun') return 'read-write';
  // A virtqueue has one user, which is the main thread: who wants workers wants them more.
  if (backend === 'auto' && placement.some((worker) => worker > 0)) return 'read-write';
  return backend;
}

function takeOut<T>(list: T[], matches: (value: T) => boolean): void {
  const at = list.findIndex(matches);
  if (at >= 0) list.splice(at, 1);
}
