/**
 * Where frames for the guest behind a link go, for callers of published ports who come before it has said anything: it was set up by hand, or was there before we
 * were, with a lease of somebody who is no more.
 *
 * Its configured addresses are asked for, by ARP or neighbour discovery, and callers wait (`NEIGHBOUR_PENDING`): three questions, a second apart, the next one when
 * somebody looks again. Then it counts as not there (`NO_NEIGHBOUR`) for some seconds, and its callers are refused. `isSettled` says when those who wait should
 * look again. What it answers, `arp-input` and `ndp-input` learn.
 */
import { type IpAddress, isIpv4, isIpv4Words } from '../base/address.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import { type GuestNeighbours, NEIGHBOUR_PENDING, type Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import type { Emitter } from '../graph/node.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import type { ServiceConfig } from './service-config.ts';
import { arpRequest, neighborSolicitation } from './solicitation.ts';

const QUESTIONS_MAX = 3;
const QUESTION_INTERVAL_US = 1_000_000;
/** As long as a neighbour that did not answer counts as not there. */
const SILENCE_US = 5_000_000;

/** An address that is asked for, on one link. */
interface Search {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  questions: number;
  askedUs: number;
}

export interface SeekerDeps {
  readonly packets: Packets;
  readonly clock: TurnClock;
  readonly output: Emitter;
}

export class GuestSeeker implements GuestNeighbours {
  readonly #deps: SeekerDeps;
  readonly #neighbours: Neighbours;
  #config: ServiceConfig;
  /** At most one for each link and family: the addresses that are configured. */
  #searches: Search[] = [];

  constructor(config: ServiceConfig, neighbours: Neighbours, deps: SeekerDeps) {
    this.#config = config;
    this.#neighbours = neighbours;
    this.#deps = deps;
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#searches = [];
  }

  find(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const found = this.#neighbours.find(interfaceIndex, w0, w1, w2, w3);
    if (found !== NO_NEIGHBOUR) return found;
    const { ipv4, ipv6 } = this.#config;
    const service = isIpv4Words(w0, w1, w2) ? ipv4 : ipv6;
    const address = service?.address.address;
    const isTheirs = address?.w0 === w0 && address.w1 === w1 && address.w2 === w2 && address.w3 === w3;
    return isTheirs ? this.#seek(interfaceIndex, address) : NO_NEIGHBOUR;
  }

  macHigh(interfaceIndex: number, neighbour: number): number {
    return this.#neighbours.macHigh(interfaceIndex, neighbour);
  }

  macLow(interfaceIndex: number, neighbour: number): number {
    return this.#neighbours.macLow(interfaceIndex, neighbour);
  }

  /** Whether one of those that were asked for has been heard since the last call. Costs nothing while nobody is asked for. */
  isSettled(): boolean {
    const searches = this.#searches;
    if (searches.length === 0) return false;
    this.#searches = searches.filter(({ interfaceIndex, address: { w0, w1, w2, w3 } }) => {
      return this.#neighbours.find(interfaceIndex, w0, w1, w2, w3) === NO_NEIGHBOUR;
    });
    return this.#searches.length < searches.length;
  }

  #seek(interfaceIndex: number, address: IpAddress): number {
    const { nowUs } = this.#deps.clock;
    let search = this.#searches.find((each) => each.interfaceIndex === interfaceIndex && each.address === address);
    if (search === undefined) {
      search = { interfaceIndex, address, questions: 0, askedUs: nowUs };
      this.#searches.push(search);
    }
    const silentUs = nowUs - search.askedUs;
    if (search.questions === QUESTIONS_MAX) {
      if (silentUs < QUESTION_INTERVAL_US) return NEIGHBOUR_PENDING;
      if (silentUs < SILENCE_US) return NO_NEIGHBOUR;
      search.questions = 0;
    }
    if (search.questions === 0 || silentUs >= QUESTION_INTERVAL_US) {
      this.#ask(interfaceIndex, address);
      search.questions++;
      search.askedUs = nowUs;
    }
    return NEIGHBOUR_PENDING;
  }

  /** Where the arena has no room, nobody hears the question: as if it were lost. */
  #ask(interfaceIndex: number, address: IpAddress): void {
    const { packets, output } = this.#deps;
    const packet = isIpv4(address)
      ? this.#arpRequest(interfaceIndex, address)
      : this.#neighborSolicitation(interfaceIndex, address);
    if (packet === NO_PACKET) return;
    packets.rxInterface[packet] = -1;
    output.emit(packet);
  }

  #arpRequest(interfaceIndex: number, { w3 }: IpAddress): Packet {
    const { ourMac, ipv4 } = this.#config;
    const gateway = ipv4?.gateway.w3 ?? 0;
    const { BROADCAST_HIGH, BROADCAST_LOW } = ethernet;
    return arpRequest(this.#deps.packets, interfaceIndex, ourMac, gateway, w3, BROADCAST_HIGH, BROADCAST_LOW);
  }

  #neighborSolicitation(interfaceIndex: number, address: IpAddress): Packet {
    const { ourMac, ipv6 } = this.#config;
    if (ipv6 === undefined) return NO_PACKET;
    const source = wordsOf(ipv6.ourLinkLocal);
    return neighborSolicitation(this.#deps.packets, interfaceIndex, ourMac, source, wordsOf(address));
  }
}

function wordsOf({ w0, w1, w2, w3 }: IpAddress): Int32Array {
  return Int32Array.of(w0, w1, w2, w3);
}
