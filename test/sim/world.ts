/**
 * A whole world from one seed: an engine on a simulated host, guests behind bad links, and conversations between them and the network: TCP, opened by either
 * side, UDP, DNS and pings, with sizes, speeds, pauses and endings as the dice fall; and accidents: resources that run out, time that jumps, guests and hosts that
 * stop reading or vanish. The same seed gives the same world on every machine.
 *
 *     const world = new World({ seed: 7 });
 *     world.run();
 *     assert.deepEqual(world.problems(), []);
 *
 * What must hold, whatever happens: each byte arrives once and in order, up to a point; if nobody reset or broke the conversation, that point is the end
 * (`journey.ts`, `talks.ts`). The guest's own TCP (`test/support`) judges every segment. After every turn the books must balance (`invariants.ts`), and when all is
 * over, nothing is left of it in the engine.
 */
import assert from 'node:assert/strict';
import { type IpAddress, MacAddress, parseIpAddress, parseIpPrefix } from '#tapster/base/address.js';
import { Random } from '#tapster/base/random.js';
import { Engine } from '#tapster/engine/engine.js';
import { GuestWiring } from '#tapster/engine/guest-wiring.js';
import { HostPolicy } from '#tapster/flow/host-policy.js';
import { NameTable } from '#tapster/flow/names.js';
import { TapLink } from '#tapster/link/tap.js';
import { NO_SERVICES, type ServiceConfig } from '#tapster/nodes/service-config.js';
import type { SimulatedDevice } from '#tapster/sys/simulated/device.js';
import { endpoint } from '#tapster/sys/simulated/endpoint.js';
import { PollSet } from '#tapster/sys/simulated/poll.js';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { Guest } from '../support/guest.ts';
import { ImpairedLink } from '../support/guest-link.ts';
import { Invariants } from './invariants.ts';
import { Journey } from './journey.ts';
import {
  canLoseFrames,
  HOUR_US,
  isClean,
  isHard,
  isOvercommitted,
  planJourney,
  planTalk,
  planWorld,
  type WorldPlan,
} from './plan.ts';
import { resolve, Talks } from './talks.ts';
import { type Canary, WorldSys } from './world-sys.ts';

const PLACES = {
  4: {
    remote: '198.51.100.7',
    caller: '203.0.113.77',
    host: '192.0.2.2',
    dns: '10.0.2.3',
    gateway: '10.0.2.2',
  },
  6: {
    remote: '2001:db8:1::7',
    caller: '2001:db8:2::77',
    host: '2001:db8::2',
    dns: '2001:db8::53',
    gateway: '2001:db8::1',
  },
} as const;
const RESOLVER = '192.0.2.53';
const LOCAL_NAME = 'host.tapster.internal';
const LOOPBACK_ADDRESSES = ['10.0.2.4', '2001:db8::4'];
const OUR_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PUBLISHED_PORT_FIRST = 8000;
const SERVICE_PORT_FIRST = 1000;
/** Turns without any time passing: more are an engine that runs in circles. */
const TURNS_MAX = 20_000;
/** A guest whose reset was lost is found out by keep-alive after two hours; time may have been lost before. */
const LIFE_US = 12 * HOUR_US;
const LAST_FRAMES_US = 1_000_000;

export interface WorldOptions {
  readonly seed: number;
  readonly plan?: Partial<WorldPlan>;
  readonly canary?: Canary;
}

/** A guest with its link, and the addresses that it has. */
interface House {
  readonly guest: Guest;
  readonly device: SimulatedDevice;
  readonly mac: Uint8Array;
  readonly addresses: readonly [string, string];
  readonly toGuest: ImpairedLink;
  readonly toEngine: ImpairedLink;
}

export class World {
  readonly plan: WorldPlan;
  readonly sys: WorldSys;
  readonly engine: Engine;
  readonly journeys: Journey[] = [];
  readonly talks: Talks;
  readonly #dice: Random;
  readonly #wiring: GuestWiring;
  readonly #houses: House[];
  readonly #invariants: Invariants;
  #broken: string | undefined = undefined;
  #stalledUntilUs = 0;
  turns = 0;

  constructor(options: WorldOptions) {
    this.#dice = new Random(options.seed);
    this.plan = { ...planWorld(this.#dice), ...options.plan };
    this.sys = new WorldSys({ seed: options.seed, ...sysOptions(this.plan) }, this.plan.shortage, options.canary);
    this.#wiring = new GuestWiring({
      services: services(this.plan.mtuBytes),
      localNames: new Map([[LOCAL_NAME, LOOPBACK_ADDRESSES.map((text) => parseIpAddress(text)!)]]),
    });
    this.engine = this.#makeEngine();
    this.#houses = Array.from({ length: this.plan.guests }, (_, index) => this.#build(index));
    this.sys.network.datagram(RESOLVER, 53, { answer: resolve });
    for (let number = 0; number < this.plan.journeys; number++) this.#begin(number);
    this.talks = this.#makeTalks();
    this.#invariants = new Invariants(this.sys, this.engine, this.journeys, this.plan.heldBytesMax);
    this.plan.vanishUs.forEach((us, index) => {
      if (us >= 0) this.sys.clock.after(us, () => this.#vanish(index));
    });
    for (const jump of this.plan.jumps) this.sys.clock.after(jump.atUs, () => this.#jump(jump));
    this.sys.faults.plan = this.plan.faults;
  }

  /** Lets everything happen, until all conversations are over and the engine has forgotten them, or something is wrong. */
  run(): void {
    this.engine.turn();
    this.#live(LIFE_US, () => this.isOver);
    // What is on its way still arrives, and may open a flow once more.
    this.#live(LAST_FRAMES_US, () => false);
    this.#live(LIFE_US, () => this.isOver);
  }

  #live(us: number, isOver: () => boolean): void {
    const until = this.sys.clock.nowUs + us;
    this.#settle();
    while (this.sys.clock.nowUs < until && !isOver() && this.#broken === undefined) {
      const { clock } = this.sys;
      if (clock.nowUs < this.#stalledUntilUs) this.sys.advance(this.#stalledUntilUs - clock.nowUs);
      else this.sys.advance(Math.max(0, Math.min(clock.nextUs(), until) - clock.nowUs));
      if (clock.nowUs >= this.#stalledUntilUs) this.#settle();
    }
  }

  get isOver(): boolean {
    const isQuiet = this.engine.flows.count === 0 && this.talks.isOver;
    return isQuiet && this.journeys.every((journey) => journey.isOver);
  }

  /** What should not have happened, in words; empty when all went well. */
  problems(): string[] {
    if (this.#broken !== undefined) return [this.#broken];
    const mayRepeat = (this.plan.impairment.duplication ?? 0) > 0;
    const isWhole = isClean(this.plan) && this.plan.vanishUs.every((us) => us < 0);
    return [
      ...this.#houses.flatMap(({ guest }) => guest.allViolations),
      ...this.journeys.flatMap((each) => each.problems(this.#mayBreak(each))),
      ...this.talks.problems(mayRepeat, isWhole),
      ...(this.engine.flows.count === 0 ? [] : [`${this.engine.flows.count} flows are left`]),
      ...(this.engine.tcp.heldBytes === 0 ? [] : [`${this.engine.tcp.heldBytes} bytes are held for nobody`]),
      ...(this.engine.timers === 0 ? [] : [`${this.engine.timers} timers are left`]),
    ];
  }

  /** Ends the engine. Returns the descriptors that it left open. */
  close(): string[] {
    this.engine.close();
    return this.sys.openDescriptors();
  }

  #settle(): void {
    const poll = this.sys.descriptor(this.engine.poll);
    assert.ok(poll instanceof PollSet);
    let more = false;
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      // As in the event loop: nobody turns the engine unless its poll set is readable.
      if (!more && poll.readiness() === 0) return;
      more = this.engine.turn();
      this.turns++;
      const broken = this.#invariants.broken();
      if (broken !== undefined) {
        this.#broken = `${this.sys.clock.nowUs} us, turn ${this.turns}: ${broken}`;
        return;
      }
    }
    this.#broken = 'the engine has always more to do';
  }

  #jump({ kind, us }: { readonly kind: string; readonly us: number }): void {
    if (kind === 'leap') this.sys.leap(us);
    else this.#stalledUntilUs = Math.max(this.#stalledUntilUs, this.sys.clock.nowUs + us);
  }

  #mayBreak({ plan }: Journey): boolean {
    if (isHard(this.plan) || this.plan.vanishUs[plan.guest]! >= 0) return true;
    return plan.hostReading === 'never' && isOvercommitted(this.plan);
  }

  /** The guest's machine loses its power: no frame passes any more. */
  #vanish(index: number): void {
    const { toGuest, toEngine } = this.#houses[index]!;
    toGuest.filter = () => 'drop';
    toEngine.filter = () => 'drop';
    for (const journey of this.journeys) if (journey.plan.guest === index) journey.guestHasVanished = true;
  }

  #makeEngine(): Engine {
    const { flowsMax, heldBytesMax } = this.plan;
    const addresses = (texts: readonly string[]): IpAddress[] => texts.map((text) => parseIpAddress(text)!);
    const policy = new HostPolicy({
      tcp: true,
      udp: true,
      icmp: true,
      allowMetadata: false,
      dnsAddresses: addresses([PLACES[4].dns, PLACES[6].dns]),
      namedServers: [],
      resolvers: [{ address: parseIpAddress(RESOLVER)!, scopeId: 0 }],
      loopbackAddresses: addresses(LOOPBACK_ADDRESSES),
      ownAddresses: addresses([PLACES[4].gateway, PLACES[6].gateway]),
      guestAddresses: addresses(Array.from({ length: this.plan.guests }, (_, index) => addressesOf(index)).flat()),
      callerAddresses: addresses([PLACES[4].gateway, PLACES[6].gateway]),
      scopeId: 0,
    });
    return new Engine(this.sys, {
      flowsMax,
      policy,
      callers: policy,
      names: new NameTable(),
      wiring: this.#wiring,
      observer: () => ({ opened: () => {}, closed: () => {} }),
      random: () => this.#dice.next(),
      heldBytesMax,
    });
  }

  /** A guest, its link, and the engine's end of that. */
  #build(index: number): House {
    const { impairment, mtuBytes, offload, udpOffload } = this.plan;
    const { clock } = this.sys;
    const device = this.sys.device({ inboundFramesMax: this.plan.waitingFramesMax });
    const mac = Uint8Array.of(2, 0, 0, 0, 1, index);
    const addresses = addressesOf(index);
    const toEngine = new ImpairedLink(clock, this.#dice, (frame) => device.send(frame), impairment);
    const guest = new Guest({
      clock,
      send: (frame) => toEngine.send(frame),
      mac,
      gatewayMac: OUR_MAC,
      addresses: addresses.map(octets),
      mtuBytes,
      partialChecksum: offload,
    });
    const receive = (frame: Uint8Array): void => {
      if (!this.talks.arrive(index, frame)) guest.receive(frame);
    };
    const toGuest = new ImpairedLink(clock, this.#dice, receive, impairment);
    device.onFrame = (frame) => toGuest.send(frame);
    this.#addLink(index, device.fd, { checksum: offload, tcpSegmentation: offload, udpSegmentation: udpOffload });
    for (const text of addresses) this.#wiring.neighbours.learn(index, ...words(text), 0x0200, 0x0100 + index);
    return { guest, device, mac, addresses, toGuest, toEngine };
  }

  #addLink(index: number, fd: number, offload: TapLink['offload']): void {
    const { arenaMemory } = this.engine;
    const link = new TapLink(this.sys, { name: `tap${index}`, fd, hasVnetHeader: true, offload, arenaMemory });
    const guest = { index, mtu: this.plan.mtuBytes, ourMacHigh: 0x0200, ourMacLow: 2, offload };
    this.engine.addLink(link, fd, guest);
  }

  #makeTalks(): Talks {
    const plans = Array.from({ length: this.plan.talks }, (_, number) => planTalk(this.#dice, this.plan, number));
    return new Talks(
      {
        sys: this.sys,
        places: PLACES,
        localName: LOCAL_NAME,
        octets,
        ends: (guest, to) => {
          const { mac, addresses } = this.#houses[guest]!;
          const source = octets(addresses[to.includes(':') ? 1 : 0]);
          return { sourceMac: mac, destinationMac: OUR_MAC, source, destination: octets(to) };
        },
        sendFromGuest: (guest, frame) => this.#houses[guest]!.toEngine.send(frame),
        publish: (guest, port, isIpv6) => this.#publishUdp(guest, port, isIpv6),
      },
      plans,
    );
  }

  #publishTcp(guest: number, port: number, isIpv6: boolean): void {
    const fd = this.#bound(SOCKET_TYPE.STREAM, port, isIpv6);
    assert.equal(this.sys.listen(fd, 64), 0);
    const address = Int32Array.from(words(addressesOf(guest)[isIpv6 ? 1 : 0]));
    const listener = { fd, interfaceIndex: guest, guest: address, guestPort: port };
    assert.equal(this.engine.tcpListeners.add(listener), 0);
  }

  #publishUdp(guest: number, port: number, isIpv6: boolean): void {
    const fd = this.#bound(SOCKET_TYPE.DGRAM, port, isIpv6);
    const address = Int32Array.from(words(addressesOf(guest)[isIpv6 ? 1 : 0]));
    const publication = { fd, ipv4: !isIpv6, interfaceIndex: guest, guest: address, guestPort: port };
    assert.equal(this.engine.udp.publish(publication), 0);
  }

  #bound(type: number, port: number, isIpv6: boolean): number {
    const family = isIpv6 ? SOCKET_FAMILY.INET6 : SOCKET_FAMILY.INET;
    const fd = this.sys.socket(family, type, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(this.sys.bind(fd, Int32Array.of(...words(isIpv6 ? '::' : '0.0.0.0'), port, 0)), 0);
    return fd;
  }

  #begin(number: number): void {
    const plan = planJourney(this.#dice, this.plan, number);
    const journey = new Journey(plan, this.sys.clock, this.#dice, canLoseFrames(this.plan));
    this.journeys.push(journey);
    if (plan.opener === 'host') this.#publishTcp(plan.guest, PUBLISHED_PORT_FIRST + number, plan.isIpv6);
    this.sys.clock.after(plan.startUs, () => this.#open(number, journey));
  }

  #open(number: number, journey: Journey): void {
    const { opener, isIpv6 } = journey.plan;
    const { guest } = this.#houses[journey.plan.guest]!;
    const port = SERVICE_PORT_FIRST + number;
    const { remote, host } = PLACES[isIpv6 ? 6 : 4];
    if (opener === 'guest') {
      this.sys.network.stream(remote, port, journey.service());
      journey.guestIs(guest.connect(octets(remote), port, journey.guestOptions()));
    } else {
      const published = PUBLISHED_PORT_FIRST + number;
      guest.listen(published, (connection) => journey.guestIs(connection), journey.guestOptions());
      journey.peerIs(this.sys.network.call(endpoint(host, published), endpoint(remote, port), journey.service()));
    }
  }
}

function sysOptions(plan: WorldPlan): object {
  const { peekOffset, latencyUs, sendBytesMax, receiveBytesMax, descriptorsForFlows, journeys, talks, guests } = plan;
  // The standard ones, poll set, timer, taps, published ports.
  const own = 3 + 2 + guests + journeys + talks;
  return { peekOffset, latencyUs, sendBytesMax, receiveBytesMax, descriptorsMax: own + descriptorsForFlows };
}

function services(mtu: number): ServiceConfig {
  const [address4, address6] = addressesOf(0);
  return {
    ...NO_SERVICES,
    ourMac: new MacAddress(0x0200, 2),
    mtu,
    ipv4: {
      address: parseIpPrefix(`${address4}/24`)!,
      gateway: parseIpAddress(PLACES[4].gateway)!,
      dns: [parseIpAddress(PLACES[4].dns)!],
      routes: [],
    },
    ipv6: {
      address: parseIpPrefix(`${address6}/64`)!,
      gateway: parseIpAddress(PLACES[6].gateway)!,
      ourLinkLocal: parseIpAddress('fe80::2')!,
      dns: [parseIpAddress(PLACES[6].dns)!],
    },
  };
}

function addressesOf(guest: number): [string, string] {
  return [`10.0.2.${15 + guest}`, `2001:db8::${15 + guest}`];
}

function words(text: string): [number, number, number, number] {
  const address = parseIpAddress(text)!;
  return [address.w0, address.w1, address.w2, address.w3];
}

/** 4 or 16 bytes. */
function octets(text: string): Uint8Array {
  const bytes = words(text).flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
  return Uint8Array.from(text.includes(':') ? bytes : bytes.slice(12));
}
