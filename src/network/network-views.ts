/** What a running network tells of itself, made from its tables when somebody asks. */
import {
  formatIpPrefix,
  formatIpWords,
  formatMacAddress,
  IpAddress,
  type IpPrefix,
  MacAddress,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { FlowRecord } from '../engine/flow-record.ts';
import { FLOW_STATE } from '../flow/flow-table.ts';
import { ADJACENCY, ADJACENCY_ADDRESS_WORDS } from '../forward/adjacency.ts';
import type { DataPlane } from './data-plane.ts';
import type { PartBuilder } from './part-builder.ts';
import { type BviPort, carries, type DevicePort, type Port, type TapPort } from './port.ts';
import type { FlowQuery } from './running-network.ts';
import type {
  BridgeView,
  FlowView,
  HardwareView,
  InterfaceCountersView,
  InterfaceView,
  NeighbourView,
  QueueView,
  RouteHopView,
  RouteView,
  StationView,
  TapView,
} from './views.ts';
import type { Workers } from './workers.ts';

const HOP_KINDS: Readonly<Record<number, RouteHopView['kind']>> = {
  [ADJACENCY.DROP]: 'drop',
  [ADJACENCY.UNREACHABLE]: 'drop',
  [ADJACENCY.LOCAL]: 'local',
  [ADJACENCY.GLEAN]: 'connected',
  [ADJACENCY.NEIGHBOUR]: 'address',
  [ADJACENCY.UPLINK]: 'uplink',
};

const NOTHING_JOINED = { joined: 0, joinedFrames: 0 } as const;

const FLOWS_LISTED_MAX = 10_000;
const ROUTES_LISTED_MAX = 10_000;

export class NetworkViews {
  readonly #plane: DataPlane;
  readonly #builder: PartBuilder;
  readonly #workers: Workers;

  constructor(plane: DataPlane, builder: PartBuilder, workers: Workers) {
    this.#plane = plane;
    this.#builder = builder;
    this.#workers = workers;
  }

  interfaces(): InterfaceView[] {
    return [...this.#plane.ports].map((port) => this.#interface(port));
  }

  hardware(): HardwareView[] {
    return this.#plane.ports.devices().map((port) => {
      const { segmented, segments, checksummed, dropped } = port.software;
      const { joined, joinedFrames } = port.kind === 'tap' ? port.coalesce : NOTHING_JOINED;
      return {
        name: port.name,
        index: port.index,
        device: port.kind === 'tap' ? port.part.tap.mode : port.kind,
        backend: backendOf(port),
        ...(port.kind === 'tap' ? {} : { socket: port.part.settings.socket }),
        linkUp: isLinkUp(port),
        queues: this.#queues(port),
        offloads: offloadNames(port),
        software: { segmented, segments, checksummed, dropped, joined, joinedFrames },
      };
    });
  }

  taps(): TapView[] {
    return this.#plane.ports.taps().map((port) => this.#tap(port));
  }

  bridges(): BridgeView[] {
    const { bridges, l2fib } = this.#plane.forwarding;
    const { splitHorizonGroup } = this.#plane.forwarding.interfaces;
    return [...this.#builder.forwarding.bridges].map(([name, bridge]) => {
      const members = [...bridges.members(bridge).subarray(0, bridges.memberCount[bridge])];
      const bvi = this.#nameOf(bridges.bvi[bridge]!);
      return {
        name,
        learn: bridges.learn[bridge] === 1,
        flood: bridges.flood[bridge] === 1,
        ageingSeconds: bridges.ageingS[bridge]!,
        ...(bvi === undefined ? {} : { bvi }),
        members: members.map((index) => ({
          interface: this.#nameOf(index)!,
          splitHorizonGroup: splitHorizonGroup[index]!,
        })),
        stations: l2fib.entries({ bridge }).length,
        counters: {
          learnt: bridges.learnt[bridge]!,
          moved: bridges.moved[bridge]!,
          notLearnt: bridges.notLearnt[bridge]!,
          flooded: bridges.flooded[bridge]!,
          copiesLost: bridges.copiesLost[bridge]!,
          copiesTooBig: bridges.copiesTooBig[bridge]!,
        },
      };
    });
  }

  stations(name?: string): StationView[] {
    const { bridges, interfaces, l2fib } = this.#plane.forwarding;
    const nowS = this.#plane.nowMs / 1000;
    const views: StationView[] = [];
    for (const [bridgeName, bridge] of this.#builder.forwarding.bridges) {
      if (name !== undefined && name !== bridgeName) continue;
      const bvi = bridges.bvi[bridge]!;
      if (bvi >= 0) {
        const mac = formatMacAddress(new MacAddress(interfaces.macHigh[bvi]!, interfaces.macLow[bvi]!));
        views.push({ bridge: bridgeName, mac, interface: this.#nameOf(bvi)!, kind: 'bvi' });
      }
      for (const { mac, interfaceIndex, heardS } of l2fib.entries({ bridge })) {
        const common = { bridge: bridgeName, mac: formatMacAddress(mac), interface: this.#nameOf(interfaceIndex)! };
        if (heardS === undefined) views.push({ ...common, kind: 'static' });
        else views.push({ ...common, kind: 'learnt', ageSeconds: Math.max(0, Math.floor(nowS - heardS)) });
      }
    }
    return views;
  }

  routes(
    family: 'ipv4' | 'ipv6',
    { within, limit = ROUTES_LISTED_MAX }: { readonly within?: string; readonly limit?: number } = {},
  ): Result<RouteView[]> {
    const prefix = within === undefined ? undefined : prefixOf(within);
    if (within !== undefined && prefix === undefined) {
      return failure('prefix-invalid', `${JSON.stringify(within)} is no prefix: give an address, or one with /LENGTH`);
    }
    const views: RouteView[] = [];
    for (const { to, origin, value } of this.#plane.forwarding.routes.routes(family, prefix)) {
      if (views.length >= limit) break;
      const hops = this.#plane.forwarding.nextHops(value);
      const via = hops.map(({ adjacency, weight }) => this.#hop(adjacency, weight, to));
      views.push({ to: formatIpPrefix(to), origin, via });
    }
    return success(views);
  }

  neighbours({ interface: name }: { readonly interface?: string } = {}): NeighbourView[] {
    const { table, store } = this.#plane.wiring.resolver;
    const only = name === undefined ? undefined : (this.#plane.ports.find(name)?.index ?? -1);
    return table.list(this.#plane.nowMs, only).map(({ interfaceIndex, address, mac, state }) => {
      const { w0, w1, w2, w3 } = address;
      return {
        interface: this.#nameOf(interfaceIndex) ?? String(interfaceIndex),
        address: address.toString(),
        ...(mac === undefined ? {} : { mac: formatMacAddress(mac) }),
        state: state.toLowerCase(),
        waiting: store.countOf(table.find(interfaceIndex, w0, w1, w2, w3)),
      };
    });
  }

  /** The newest first. */
  flows({ interface: name, protocol, limit = FLOWS_LISTED_MAX }: FlowQuery = {}): FlowView[] {
    const { flows } = this.#plane.engine;
    const only = name === undefined ? undefined : (this.#plane.ports.find(name)?.index ?? -1);
    const open: number[] = [];
    for (let flow = 0; flow < flows.max; flow++) {
      if (flows.state[flow] === FLOW_STATE.FREE || flows.state[flow] === FLOW_STATE.NEW) continue;
      if (only === undefined || flows.interfaceIndex(flow) === only) open.push(flow);
    }
    open.sort((a, b) => flows.id[b]! - flows.id[a]!);
    const views: FlowView[] = [];
    for (const flow of open) {
      if (views.length >= limit) break;
      const view = this.flow(flow);
      if (protocol === undefined || view.protocol === protocol) views.push(view);
    }
    return views;
  }

  flow(flow: number): FlowView {
    const record = this.#plane.reporter.record(flow);
    return flowView(record, this.#nameOf(record.interfaceIndex) ?? '');
  }

  #interface(port: Port): InterfaceView {
    const { interfaces, addresses } = this.#plane.forwarding;
    const { index, name, kind, up, bridge } = port;
    const group = interfaces.splitHorizonGroup[index]!;
    return {
      ...{ name, index, kind, up },
      linkUp: isLinkUp(port),
      mac: formatMacAddress(new MacAddress(interfaces.macHigh[index]!, interfaces.macLow[index]!)),
      mtu: interfaces.mtu[index]!,
      promiscuous: interfaces.promiscuous[index] === 1,
      addresses: addresses.list(index).map(formatIpPrefix),
      ...(bridge === undefined ? {} : { bridge }),
      ...(group === 0 ? {} : { splitHorizonGroup: group }),
      ...(port.kind === 'vlan' ? { vlan: port.part.vlan, parent: port.parent.name } : {}),
      services: this.#builder.services.on(name),
      counters: this.#counters(port),
    };
  }

  #counters(port: Port): InterfaceCountersView {
    const { engine, forwarding } = this.#plane;
    const { index } = port;
    const { rxPackets, rxBytes, txPackets, txBytes } = forwarding.interfaces;
    const link = engine.interfaceCounters(index);
    return {
      rxPackets: link.rxPackets + rxPackets[index]!,
      rxBytes: link.rxBytes + rxBytes[index]!,
      txPackets: link.txPackets + txPackets[index]!,
      txBytes: link.txBytes + txBytes[index]!,
      txErrors: link.txErrors,
      rxDrops: engine.graph.droppedOf(index),
    };
  }

  #tap(port: TapPort): TapView {
    const { interfaces } = this.#plane.forwarding;
    const { part, device, index } = port;
    const { tap } = part;
    const inspected = device.inspect();
    const link = inspected.ok ? inspected.value.link : undefined;
    const { namespace, bridge } = tap.host;
    return {
      ...{ name: port.name, index, id: port.id, up: port.up, mode: tap.mode, backend: port.backend },
      mac: formatMacAddress(new MacAddress(interfaces.macHigh[index]!, interfaces.macLow[index]!)),
      ...{ rxQueues: tap.queues, txQueues: tap.queues, rxRingSize: tap.ringSizes.rx, txRingSize: tap.ringSizes.tx },
      ...{ offload: tap.offload, groCoalesce: tap.groCoalesce, persist: tap.persist, attach: tap.attach },
      host: {
        name: link?.name ?? part.hostName,
        index: link?.index ?? device.tap.index,
        ...(namespace === undefined ? {} : { namespace }),
        ...(bridge === undefined ? {} : { bridge }),
        mac: link?.mac === undefined ? '' : formatMacAddress(link.mac),
        mtu: link?.mtu ?? part.hostMtu,
        addresses: inspected.ok ? inspected.value.addresses : [],
        gateways: port.hostGateways.map(String),
        up: link?.up ?? false,
        carrier: port.up,
      },
    };
  }

  #hop(adjacency: number, weight: number, to: IpPrefix): RouteHopView {
    const { kind, interfaceIndex, address } = this.#plane.forwarding.adjacencies;
    const name = this.#nameOf(interfaceIndex[adjacency]!);
    const at = adjacency * ADJACENCY_ADDRESS_WORDS;
    const hop = HOP_KINDS[kind[adjacency]!] ?? 'drop';
    const text = formatIpWords(address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!);
    return {
      kind: hop,
      ...(hop === 'address' ? { address: text } : {}),
      ...(name === undefined ? {} : { interface: name }),
      ...{ weight, ...this.#carried(adjacency, to) },
    };
  }

  #queues(port: DevicePort): QueueView[] {
    if (port.kind !== 'tap') {
      const mode = port.part.kind === 'vhost-user' ? port.part.settings.rxMode : 'interrupt';
      return port.guests.map((_, queue) => ({ queue, worker: 0, mode }));
    }
    const { device, index, part } = port;
    const { rxMode: mode } = part.tap;
    return device.fds.map((_, queue) => ({ queue, worker: this.#workers.workerOf(index, queue), mode }));
  }

  /** What went by an adjacency; by that of a network, what went to its neighbours. */
  #carried(adjacency: number, to: IpPrefix): Pick<RouteHopView, 'packets' | 'bytes'> {
    const { adjacencies } = this.#plane.forwarding;
    const { kind, interfaceIndex, address, packets, bytes } = adjacencies;
    if (kind[adjacency] !== ADJACENCY.GLEAN) return { packets: packets[adjacency]!, bytes: bytes[adjacency]! };
    const carried = { packets: 0, bytes: 0 };
    for (let each = 0; each < adjacencies.end; each++) {
      if (!adjacencies.has(each) || kind[each] !== ADJACENCY.NEIGHBOUR) continue;
      if (interfaceIndex[each] !== interfaceIndex[adjacency]) continue;
      const at = each * ADJACENCY_ADDRESS_WORDS;
      const neighbour = new IpAddress(address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!);
      if (!prefixContains(to, neighbour)) continue;
      carried.packets += packets[each]!;
      carried.bytes += bytes[each]!;
    }
    return carried;
  }

  #nameOf(index: number): string | undefined {
    return this.#plane.ports.nameOf(index);
  }
}

export function flowView(record: FlowRecord, interfaceName: string): FlowView {
  const { id, protocol, direction, guest, remote, target, name, outcome, rttUs } = record;
  return {
    ...{ id, interface: interfaceName, protocol, direction },
    guest: endpoint(guest),
    remote: endpoint(remote),
    ...(target === undefined ? {} : { target: endpoint(target) }),
    ...(name === undefined ? {} : { name }),
    ...{ outcome, packetsOut: record.packetsOut, packetsIn: record.packetsIn },
    ...{ bytesOut: record.bytesOut, bytesIn: record.bytesIn, durationMs: Math.round(record.durationMs) },
    ...(rttUs === undefined ? {} : { rttUs }),
  };
}

function endpoint({ address, port }: FlowRecord['guest']): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function isLinkUp(port: Port): boolean {
  return carries(port) && hasOtherSide(port.kind === 'vlan' ? port.parent : port);
}

function hasOtherSide(port: DevicePort | BviPort): boolean {
  if (port.kind === 'bvi') return true;
  return port.kind === 'tap' ? !port.device.lost : port.machine !== undefined;
}

function backendOf(port: DevicePort): HardwareView['backend'] {
  if (port.kind === 'tap') return port.backend;
  return port.kind === 'vhost-user' ? 'shared-memory' : 'socket';
}

function offloadNames({ link }: DevicePort): string[] {
  const { checksum, tcpSegmentation, udpSegmentation } = link.offload;
  return [
    ...(checksum ? ['checksum'] : []),
    ...(tcpSegmentation ? ['tcp-segmentation'] : []),
    ...(udpSegmentation ? ['udp-segmentation'] : []),
  ];
}

/** An address stands for itself. */
function prefixOf(text: string): IpPrefix | undefined {
  const address = parseIpAddress(text);
  if (address === undefined) return parseIpPrefix(text);
  return { address, length: text.includes(':') ? 128 : 32 };
}
