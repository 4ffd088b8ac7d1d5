/**
 * Conversations in datagrams: UDP echo, closed ports, published ports, DNS, pings. Nothing that arrives may be another than was sent, or come from or go to somebody else, or
 * come more often than it was sent; in a clean world everything must arrive.
 */

import { pingService } from '#tapster/sys/simulated/datagram-service.js';
import { endpoint } from '#tapster/sys/simulated/endpoint.js';
import type { SimulatedSys } from '#tapster/sys/simulated.js';
import type { Address } from '../support/guest-frame.ts';
import {
  type Arrival,
  type Ends,
  readDatagrams,
  writeAnswer,
  writeEcho,
  writeQuestion,
  writeUdp,
} from './datagram-frame.ts';
import type { TalkPlan } from './plan.ts';

const GUEST_PORT_FIRST = 50_000;
const REMOTE_PORT_FIRST = 2000;
const CALLER_PORT_FIRST = 6000;
const PUBLISHED_PORT_FIRST = 9000;
const IDENTIFIER_FIRST = 0x4000;
const DNS_PORT = 53;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const ANSWER = Uint8Array.of(203, 0, 113, 1);
const HEADER_BYTES = 4;

/** Where the talks take place, in one family. */
export interface Places {
  readonly remote: string;
  readonly caller: string;
  readonly host: string;
  readonly dns: string;
  readonly gateway: string;
}

export interface TalkWorld {
  readonly sys: SimulatedSys;
  readonly places: { readonly 4: Places; readonly 6: Places };
  readonly localName: string;
  octets(text: string): Address;
  /** The two ends of what the guest sends to an address. */
  ends(guest: number, to: string): Ends;
  sendFromGuest(guest: number, frame: Uint8Array): void;
  /** Publishes a UDP port of the host that leads to the same port of a guest. */
  publish(guest: number, port: number, isIpv6: boolean): void;
}

class Talk {
  readonly plan: TalkPlan;
  readonly places: Places;
  sent = 0;
  /** By sequence number. */
  readonly receipts: number[];
  errors = 0;

  constructor(plan: TalkPlan, places: Places) {
    this.plan = plan;
    this.places = places;
    this.receipts = new Array<number>(plan.datagrams).fill(0);
  }

  get guestPort(): number {
    return (this.plan.kind === 'published' ? PUBLISHED_PORT_FIRST : GUEST_PORT_FIRST) + this.plan.number;
  }

  get remotePort(): number {
    if (this.plan.kind === 'resolver' || this.plan.kind === 'local-name') return DNS_PORT;
    return (this.plan.kind === 'published' ? CALLER_PORT_FIRST : REMOTE_PORT_FIRST) + this.plan.number;
  }

  /** To whom the guest sends. */
  get remote(): string {
    switch (this.plan.kind) {
      case 'resolver':
      case 'local-name':
        return this.places.dns;
      case 'ping-gateway':
        return this.places.gateway;
      case 'published':
        return this.places.caller;
      default:
        return this.places.remote;
    }
  }

  get isPing(): boolean {
    return this.plan.kind === 'ping' || this.plan.kind === 'ping-gateway';
  }
}

export class Talks {
  /** What should not have happened, in words. */
  readonly violations: string[] = [];
  readonly #world: TalkWorld;
  readonly #talks: Talk[];

  constructor(world: TalkWorld, plans: readonly TalkPlan[]) {
    this.#world = world;
    this.#talks = plans.map((plan) => new Talk(plan, world.places[plan.isIpv6 ? 6 : 4]));
    for (const talk of this.#talks) this.#begin(talk);
  }

  get isOver(): boolean {
    return this.#talks.every((talk) => talk.sent === talk.plan.datagrams);
  }

  /** A frame has reached a guest. Returns false when it is not for us. */
  arrive(guest: number, frame: Uint8Array): boolean {
    const arrivals = readDatagrams(frame, this.violations);
    for (const arrival of arrivals ?? []) this.#take(guest, arrival);
    return arrivals !== undefined;
  }

  /** `mayRepeat`: the link doubles frames. `isClean`: nothing may be missing. */
  problems(mayRepeat: boolean, isClean: boolean): string[] {
    const problems = [...this.violations];
    for (const { plan, receipts, sent, errors } of this.#talks) {
      const name = `talk ${plan.number} (${plan.kind}${plan.isIpv6 ? ', IPv6' : ''})`;
      const missing = receipts.filter((count) => count === 0).length;
      const repeated = receipts.filter((count) => count > 1).length;
      const isAnswered = plan.kind !== 'refused';
      if (isClean && isAnswered && missing > 0) problems.push(`${name}: ${missing} of ${sent} did not come back`);
      if (isClean && !isAnswered && errors === 0) problems.push(`${name}: nobody said that the port is closed`);
      if (!mayRepeat && repeated > 0) problems.push(`${name}: ${repeated} came back more than once`);
      if (!isAnswered && missing < sent) problems.push(`${name}: a closed port answered`);
    }
    return problems;
  }

  #begin(talk: Talk): void {
    const { network, clock } = this.#world.sys;
    const { plan, places } = talk;
    if (plan.kind === 'echo') network.datagram(places.remote, talk.remotePort, { answer: (payload) => [payload] });
    if (plan.kind === 'ping') network.ping(places.remote, pingService);
    if (plan.kind === 'published') {
      this.#world.publish(plan.guest, talk.guestPort, plan.isIpv6);
      network.datagram(places.caller, talk.remotePort, { answer: (payload) => this.#answered(talk, payload) });
    }
    clock.after(plan.startUs, () => this.#sendNext(talk));
  }

  #sendNext(talk: Talk): void {
    const { plan } = talk;
    const { sys } = this.#world;
    const sequence = talk.sent++;
    if (plan.kind === 'published') {
      const from = endpoint(talk.places.caller, talk.remotePort);
      sys.network.send(from, endpoint(talk.places.host, talk.guestPort), payloadOf(plan, sequence));
    } else {
      const ends = this.#world.ends(plan.guest, talk.remote);
      this.#world.sendFromGuest(plan.guest, this.#frame(talk, ends, sequence));
    }
    if (talk.sent < plan.datagrams) sys.clock.after(plan.intervalUs, () => this.#sendNext(talk));
  }

  #frame(talk: Talk, ends: Ends, sequence: number): Uint8Array {
    const { plan } = talk;
    if (talk.isPing) return writeEcho(ends, IDENTIFIER_FIRST + plan.number, sequence, payloadOf(plan, sequence));
    return writeUdp(ends, talk.guestPort, talk.remotePort, this.#message(talk, sequence));
  }

  #message(talk: Talk, sequence: number): Uint8Array {
    const { plan } = talk;
    if (plan.kind === 'resolver') return writeQuestion(sequence, `n${plan.number}.example`, TYPE_A);
    if (plan.kind !== 'local-name') return payloadOf(plan, sequence);
    return writeQuestion(sequence, this.#world.localName, plan.isIpv6 ? TYPE_AAAA : TYPE_A);
  }

  #take(guest: number, arrival: Arrival): void {
    if (arrival.kind === 'error') {
      const talk = this.#talks.find(({ guestPort }) => guestPort === arrival.quotedFrom);
      if (talk?.plan.guest !== guest || talk.remotePort !== arrival.quotedTo) {
        this.#violation(
          `guest ${guest}: an error about a datagram from port ${arrival.quotedFrom} that it did not send`,
        );
      } else talk.errors++;
    } else if (arrival.kind === 'echo') this.#takeEcho(guest, arrival);
    else this.#takeUdp(guest, arrival);
  }

  #takeEcho(guest: number, { identifier, source, message }: Arrival & { kind: 'echo' }): void {
    const talk = this.#talks[identifier - IDENTIFIER_FIRST];
    if (!talk?.isPing || talk.plan.guest !== guest || !equal(source, this.#world.octets(talk.remote))) {
      this.#violation(`guest ${guest}: an echo reply ${identifier} to nobody`);
      return;
    }
    const sequence = (message[6]! << 8) | message[7]!;
    this.#receipt(talk, sequence, message.subarray(8), payloadOf(talk.plan, sequence));
  }

  #takeUdp(guest: number, arrival: Arrival & { kind: 'udp' }): void {
    const { source, from, to, payload } = arrival;
    const talk = this.#talks.find(({ guestPort }) => guestPort === to);
    const isKnown = talk !== undefined && talk.plan.guest === guest && talk.remotePort === from;
    if (!isKnown || !equal(source, this.#world.octets(talk.remote))) {
      this.#violation(`guest ${guest}: a datagram from ${source.join('.')} port ${from} to port ${to}, for nobody`);
      return;
    }
    if (talk.plan.kind === 'published') {
      // The guest is an echo server.
      const ends = this.#world.ends(guest, talk.remote);
      this.#world.sendFromGuest(guest, writeUdp(ends, to, from, payload));
    } else if (from === DNS_PORT) {
      this.#takeAnswer(talk, payload);
    } else {
      const sequence = (payload[2]! << 8) | payload[3]!;
      this.#receipt(talk, sequence, payload, payloadOf(talk.plan, sequence));
    }
  }

  #takeAnswer(talk: Talk, message: Uint8Array): void {
    const sequence = (message[0]! << 8) | message[1]!;
    const question = this.#message(talk, sequence);
    // A name of ours may be answered in other words; that it is the right question's answer, with an address, is what counts.
    const isRight =
      talk.plan.kind === 'resolver'
        ? equal(message, writeAnswer(question, ANSWER))
        : equal(message.subarray(12, question.length), question.subarray(12)) && message[7] === 1;
    this.#receipt(talk, sequence, Uint8Array.of(isRight ? 1 : 0), Uint8Array.of(1));
  }

  /** What a published port's caller gets back. */
  #answered(talk: Talk, payload: Uint8Array): Uint8Array[] {
    const sequence = (payload[2]! << 8) | payload[3]!;
    this.#receipt(talk, sequence, payload, payloadOf(talk.plan, sequence));
    return [];
  }

  #receipt(talk: Talk, sequence: number, payload: Uint8Array, expected: Uint8Array): void {
    const name = `talk ${talk.plan.number} (${talk.plan.kind})`;
    if (sequence >= talk.sent) this.#violation(`${name}: ${sequence} came back and was never sent`);
    else if (!equal(payload, expected)) this.#violation(`${name}: ${sequence} came back as something else`);
    else talk.receipts[sequence]!++;
  }

  #violation(what: string): void {
    this.violations.push(`${this.#world.sys.clock.nowUs} us: ${what}`);
  }
}

/** A resolver in the host's world. */
export function resolve(question: Uint8Array): Uint8Array[] {
  return [writeAnswer(question, ANSWER)];
}

/** Four bytes that say which datagram it is, and more that depend on them. */
function payloadOf(plan: TalkPlan, sequence: number): Uint8Array {
  const payload = new Uint8Array(plan.bytes);
  payload.set([plan.number >> 8, plan.number & 255, sequence >> 8, sequence & 255]);
  for (let at = HEADER_BYTES; at < payload.length; at++) payload[at] = at * 7 + sequence * 31 + plan.number;
  return payload;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
