/**
 * Says on interfaces that we are a router there (RFC 4861, section 6.2): where the service is configured, to all nodes from time to time, and to who asks.
 *
 * - *Unsolicited* (6.2.4): the first three at most 16 s apart, then at random between a third of the interval and all of it. `advertise` sends what is due.
 * - *Solicited* (6.2.6): who has an address gets an answer of its own, at once; who has none yet is answered to all nodes, at once if the last such
 *   advertisement is three seconds ago, else then. Answers to single hosts have a limit on each interface; who goes beyond it is answered with all.
 * - *The last one* (6.2.5) says that we are no router any more, and that our DNS servers are to be forgotten: when the service is taken away (`configure`), or all
 *   goes (`withdrawAll`).
 *
 * Advertised are the interface's networks of 64 bits, which hosts make addresses from, its MTU, DNS servers, and whether there is DHCPv6. All but the settings is read
 * from the tables when an advertisement is sent. It comes from a link-local address of the interface: without one, or while the interface is down, there is none.
 *
 * Not done: prefixes that an interface loses are not withdrawn but run out; route information (RFC 4191), preferences, and checking others' advertisements.
 *
 * Contract: `advertise` once a second, `configure`, `withdrawAll` and `advertise` where packets may be emitted. `forget` before an interface goes.
 */
import { type IpAddress, isIpv4, isLinkLocal, MacAddress } from '../base/address.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import type { Emitter } from '../graph/node.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { begin } from './answer.ts';
import {
  ADVERTISEMENT_FRAME_BYTES,
  ALL_NODES_MAC_HIGH,
  ALL_NODES_MAC_LOW,
  AUTONOMOUS_PREFIX_BITS,
  finishAdvertisement,
  toAllNodes,
} from './router-advertisement.ts';

/** RFC 4861, section 10: MAX_INITIAL_RTR_ADVERTISEMENTS and MAX_INITIAL_RTR_ADVERT_INTERVAL, MIN_DELAY_BETWEEN_RAS. */
const INITIAL_ADVERTISEMENTS = 3;
const INITIAL_INTERVAL_MS = 16_000;
const BETWEEN_MS = 3000;

/** Bounds of MaxRtrAdvInterval, and the part of it that MinRtrAdvInterval is (section 6.2.1). */
const INTERVAL_MS_MIN = 4000;
const INTERVAL_MS_MAX = 1_800_000;
const INTERVAL_LEAST = 1 / 3;
/** What the field has room for (RFC 8319 allows it). */
const LIFETIME_SECONDS_MAX = 65_535;

/** Answers to single hosts on one interface. */
const ANSWERS_BURST = 16;
const ANSWERS_PER_SECOND = 16;

export interface RouterSettings {
  /** Between unsolicited advertisements, at most. */
  readonly intervalMs: number;
  /** How long we are a default router for; 0: we are none. Not shorter than the interval otherwise. */
  readonly lifetimeMs: number;
  readonly managed: boolean;
  readonly other: boolean;
  readonly dns: readonly IpAddress[];
}

export interface RouterAdvertiserDeps {
  readonly packets: Packets;
  readonly interfaces: InterfaceTable;
  readonly addresses: InterfaceAddresses;
  readonly output: Emitter;
  /** 0 to 1, 1 excluded. */
  readonly random: () => number;
}

interface Service {
  readonly settings: RouterSettings;
  readonly answers: TokenBucket;
  /** Whether anybody has been told of us. */
  isTold: boolean;
  /** Sent to all nodes with these settings, and when the last one was. */
  sent: number;
  lastMs: number;
  dueMs: number;
}

export class RouterAdvertiser {
  /** Advertisements sent. */
  advertised: number = 0;
  readonly #deps: RouterAdvertiserDeps;
  /** By interface. */
  readonly #services: Map<number, Service> = new Map();

  constructor(deps: RouterAdvertiserDeps) {
    this.#deps = deps;
  }

  /** The interface advertises us from now on, beginning at once with the next `advertise`. Undefined: no more, and it says so. */
  configure(interfaceIndex: number, settings: RouterSettings | undefined): void {
    if (settings !== undefined) {
      const answers = new TokenBucket(ANSWERS_BURST, ANSWERS_PER_SECOND);
      const before = this.#services.get(interfaceIndex);
      const lastMs = before?.lastMs ?? Number.NEGATIVE_INFINITY;
      const isTold = before?.isTold ?? false;
      this.#services.set(interfaceIndex, { settings, answers, isTold, sent: 0, lastMs, dueMs: lastMs + BETWEEN_MS });
      return;
    }
    const service = this.#services.get(interfaceIndex);
    if (service === undefined) return;
    this.#services.delete(interfaceIndex);
    if (service.isTold) this.#send(interfaceIndex, { ...service.settings, lifetimeMs: 0 }, true, NO_PACKET);
  }

  /** The interface is about to go: there is nobody to tell. */
  forget(interfaceIndex: number): void {
    this.#services.delete(interfaceIndex);
  }

  /** All services end, and say so. */
  withdrawAll(): void {
    for (const interfaceIndex of [...this.#services.keys()]) this.configure(interfaceIndex, undefined);
  }

  /** Sends what is due. */
  advertise(nowMs: number): void {
    for (const [interfaceIndex, service] of this.#services) {
      if (nowMs >= service.dueMs) this.#sendToAll(interfaceIndex, service, nowMs);
    }
  }

  /** A router solicitation has been found valid: answers it now or with the next advertisement. False: this interface advertises no router. */
  solicited(request: Packet, nowMs: number): boolean {
    const { packets } = this.#deps;
    const on = packets.rxInterface[request];
    const service = this.#services.get(on);
    if (service === undefined) return false;
    const source = ipv6.sourceAt(packets.network[request]);
    if (!isUnspecified(packets.view, source) && service.answers.take(nowMs * 1000)) {
      if (this.#send(on, service.settings, false, request)) service.isTold = true;
    } else {
      service.dueMs = Math.min(service.dueMs, Math.max(nowMs, service.lastMs + BETWEEN_MS));
      if (service.dueMs <= nowMs) this.#sendToAll(on, service, nowMs);
    }
    return true;
  }

  #sendToAll(interfaceIndex: number, service: Service, nowMs: number): void {
    // What could not be sent is due still.
    if (!this.#send(interfaceIndex, service.settings, false, NO_PACKET)) return;
    service.isTold = true;
    service.sent++;
    service.lastMs = nowMs;
    service.dueMs = nowMs + this.#pauseMs(service);
  }

  #pauseMs({ settings, sent }: Service): number {
    const most = clampInterval(settings.intervalMs);
    const pause = most * (INTERVAL_LEAST + (1 - INTERVAL_LEAST) * this.#deps.random());
    return Math.max(sent < INITIAL_ADVERTISEMENTS ? Math.min(pause, INITIAL_INTERVAL_MS) : pause, BETWEEN_MS);
  }

  /** To who sent `request`, or to all nodes. False: there is no address to speak from, no room, or nobody can hear it. */
  #send(interfaceIndex: number, settings: RouterSettings, isLast: boolean, request: Packet): boolean {
    const { addresses, interfaces, output, packets } = this.#deps;
    if (!interfaces.has(interfaceIndex) || interfaces.up[interfaceIndex] === 0) return false;
    const list = addresses.list(interfaceIndex).filter(({ address }) => !isIpv4(address));
    const from = list.find(({ address }) => isLinkLocal(address));
    if (from === undefined) return false;
    const ourMac = new MacAddress(interfaces.macHigh[interfaceIndex], interfaces.macLow[interfaceIndex]);
    const packet = this.#begin(interfaceIndex, request, ourMac);
    if (packet === NO_PACKET) return false;
    const { dns, managed, other } = settings;
    finishAdvertisement(packets, packet, {
      ourMac,
      from: from.address,
      flags: (managed ? ndp.RA_MANAGED : 0) | (other ? ndp.RA_OTHER : 0),
      lifetimeSeconds: lifetimeSeconds(settings),
      mtu: interfaces.mtu[interfaceIndex],
      prefixes: list.filter(({ address, length }) => length === AUTONOMOUS_PREFIX_BITS && !isLinkLocal(address)),
      dns,
      searchDomains: [],
      dnsLifetimeSeconds: isLast ? 0 : Math.ceil((clampInterval(settings.intervalMs) * 3) / 1000),
    });
    this.advertised++;
    packets.rxInterface[packet] = -1;
    output.emit(packet);
    return true;
  }

  #begin(interfaceIndex: number, request: Packet, ourMac: MacAddress): Packet {
    const { packets } = this.#deps;
    const { view } = packets;
    const toAll = request === NO_PACKET;
    const high = toAll ? ALL_NODES_MAC_HIGH : ethernet.sourceHigh(view, packets.start[request]);
    const low = toAll ? ALL_NODES_MAC_LOW : ethernet.sourceLow(view, packets.start[request]);
    const bytes = ADVERTISEMENT_FRAME_BYTES;
    const packet = begin(packets, interfaceIndex, bytes, high, low, ourMac, ethernet.TYPE_IPV6);
    if (packet === NO_PACKET) return NO_PACKET;
    const network = packets.start[packet] + ethernet.HEADER_BYTES;
    if (toAll) toAllNodes(packets, packet);
    else ipv6.copyToDestination(view, network, view, ipv6.sourceAt(packets.network[request]));
    return packet;
  }
}

function clampInterval(intervalMs: number): number {
  return Math.min(Math.max(intervalMs, INTERVAL_MS_MIN), INTERVAL_MS_MAX);
}

/** Who hears nothing for a whole interval must not forget us. */
function lifetimeSeconds({ intervalMs, lifetimeMs }: RouterSettings): number {
  if (lifetimeMs === 0) return 0;
  return Math.min(Math.ceil(Math.max(lifetimeMs, clampInterval(intervalMs)) / 1000), LIFETIME_SECONDS_MAX);
}

function isUnspecified(view: DataView, at: number): boolean {
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) === 0;
}
