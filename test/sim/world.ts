/**
 * A whole world from one seed: an engine on a simulated host, a simulated guest behind a bad link, and conversations between the guest and the
 * network, opened by either side, with sizes, speeds, pauses and endings as the dice fall. The same seed gives the same world on every machine.
 *
 *     const world = new World({ seed: 7 });
 *     world.run();
 *     assert.deepEqual(world.problems(), []);
 *
 * What must hold, whatever happens: each byte arrives once and in order, up to a point; if nobody reset or broke the conversation, that point is the end. The
 * guest's own TCP (`test/support`) judges every segment. When all is over, nothing is left of it in the engine.
 */
import assert from 'node:assert/strict';
import { MacAddress, parseIpAddress } from '#tapster/base/address.js';
import { Random } from '#tapster/base/random.js';
import { Engine } from '#tapster/engine/engine.js';
import { NameTable } from '#tapster/flow/names.js';
import { VERDICT } from '#tapster/flow/policy.js';
import { TapLink } from '#tapster/link/tap.js';
import { SimulatedSys } from '#tapster/sys/simulated.js';
import type { SimulatedDevice } from '#tapster/sys/simulated-device.js';
import { endpoint } from '#tapster/sys/simulated-endpoint.js';
import type { FaultPlan } from '#tapster/sys/simulated-faults.js';
import { PollSet } from '#tapster/sys/simulated-poll.js';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { Guest } from '../support/guest.ts';
import { ImpairedLink, type Impairment } from '../support/guest-link.ts';
import { type Ending, Journey, type JourneyPlan } from './journey.ts';

const GUEST4 = '10.0.2.15';
const GUEST6 = '2001:db8::15';
export const REMOTE4 = '198.51.100.7';
export const REMOTE6 = '2001:db8:1::7';
const HOST4 = '192.0.2.2';
const HOST6 = '2001:db8::2';
const GUEST_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const OUR_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PUBLISHED_PORT_FIRST = 8000;
const SERVICE_PORT_FIRST = 1000;
const MINUTE_US = 60_000_000;
/** Turns without any time passing: more are an engine that runs in circles. */
const TURNS_MAX = 20_000;

/** Everything that the seed decides, unless the test does. */
export interface WorldPlan {
  readonly impairment: Impairment;
  readonly faults: FaultPlan;
  readonly peekOffset: boolean;
  readonly offload: boolean;
  readonly mtuBytes: number;
  readonly latencyUs: number;
  readonly sendBytesMax: number;
  readonly receiveBytesMax: number;
  readonly heldBytesMax: number;
  readonly journeys: number;
  /** Bytes each way in one conversation, at most. */
  readonly bytesMax: number;
  /** How many of the conversations somebody resets. */
  readonly resets: number;
}

export interface WorldOptions {
  readonly seed: number;
  readonly plan?: Partial<WorldPlan>;
}

export class World {
  readonly plan: WorldPlan;
  readonly sys: SimulatedSys;
  readonly engine: Engine;
  readonly device: SimulatedDevice;
  readonly guest: Guest;
  readonly journeys: Journey[] = [];
  readonly #dice: Random;
  readonly #toGuest: ImpairedLink;
  readonly #toEngine: ImpairedLink;

  constructor(options: WorldOptions) {
    this.#dice = new Random(options.seed);
    this.plan = { ...planOf(this.#dice), ...options.plan };
    const { impairment, mtuBytes, faults, offload } = this.plan;
    this.sys = new SimulatedSys({ seed: options.seed, ...this.plan });
    this.engine = this.#makeEngine();
    this.device = this.sys.device({ inboundFramesMax: 100_000 });
    this.#addLink();
    const { clock } = this.sys;
    this.#toGuest = new ImpairedLink(clock, this.#dice, (frame) => this.guest.receive(frame), impairment);
    this.#toEngine = new ImpairedLink(clock, this.#dice, (frame) => this.device.send(frame), impairment);
    this.device.onFrame = (frame) => this.#toGuest.send(frame);
    this.guest = new Guest({
      clock,
      send: (frame) => this.#toEngine.send(frame),
      mac: GUEST_MAC,
      gatewayMac: OUR_MAC,
      addresses: [octets(GUEST4), octets(GUEST6)],
      mtuBytes,
      partialChecksum: offload,
    });
    for (let number = 0; number < this.plan.journeys; number++) this.#begin(number);
    this.sys.faults.plan = faults;
  }

  /** Lets everything happen, until all conversations are over and the engine has forgotten them, or three hours have passed: a guest whose reset was lost is found out by keep-alive after two. */
  run(): void {
    const until = this.sys.nowUs() + 180 * MINUTE_US;
    this.#settle();
    while (this.sys.nowUs() < until && !this.isOver) {
      this.sys.advance(Math.max(0, this.sys.clock.nextUs() - this.sys.nowUs()));
      this.#settle();
    }
  }

  get isOver(): boolean {
    return this.engine.flows.count === 0 && this.journeys.every((journey) => journey.isOver);
  }

  /** What should not have happened, in words; empty when all went well. */
  problems(): string[] {
    return [
      ...this.guest.allViolations,
      ...this.journeys.flatMap((journey) => journey.problems()),
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
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      const more = this.engine.turn();
      if (!more && poll.readiness() === 0) return;
    }
    assert.fail('the engine has always more to do');
  }

  #makeEngine(): Engine {
    return new Engine(this.sys, {
      flowsMax: 64,
      policy: { decide: () => VERDICT.ALLOW },
      callers: { map: () => {} },
      names: new NameTable(),
      localNames: new Map(),
      services: {
        ourMac: new MacAddress(0x0200, 2),
        mtu: this.plan.mtuBytes,
        searchDomains: [],
        leaseSeconds: 3600,
        dhcp: false,
        dhcpv6: false,
        ndp: false,
        ra: false,
      },
      observer: () => ({ opened: () => {}, closed: () => {} }),
      random: () => this.#dice.next(),
      heldBytesMax: this.plan.heldBytesMax,
    });
  }

  #addLink(): void {
    const { arenaMemory } = this.engine;
    const offload = { checksum: this.plan.offload, tcpSegmentation: this.plan.offload, udpSegmentation: false };
    const { fd } = this.device;
    const link = new TapLink(this.sys, { name: 'tap', fd, hasVnetHeader: true, offload, arenaMemory });
    const guest = { index: 0, mtu: this.plan.mtuBytes, ourMacHigh: 0x0200, ourMacLow: 2, offload };
    this.engine.addLink(link, fd, guest);
    for (const text of [GUEST4, GUEST6]) {
      const { w0, w1, w2, w3 } = parseIpAddress(text)!;
      this.engine.neighbours.learn(0, w0, w1, w2, w3, 0x0200, 1);
    }
  }

  #publish(port: number, isIpv6: boolean): void {
    const family = isIpv6 ? SOCKET_FAMILY.INET6 : SOCKET_FAMILY.INET;
    const fd = this.sys.socket(family, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
    assert.equal(this.sys.bind(fd, Int32Array.of(...words(isIpv6 ? '::' : '0.0.0.0'), port, 0)), 0);
    assert.equal(this.sys.listen(fd, 64), 0);
    const guest = Int32Array.from(words(isIpv6 ? GUEST6 : GUEST4));
    assert.equal(this.engine.tcpListeners.add({ fd, interfaceIndex: 0, guest, guestPort: port }), 0);
  }

  #begin(number: number): void {
    const plan = journeyOf(this.#dice, this.plan, number);
    const journey = new Journey(plan, this.sys.clock, this.#dice);
    this.journeys.push(journey);
    if (plan.opener === 'host') this.#publish(PUBLISHED_PORT_FIRST + number, plan.isIpv6);
    this.sys.clock.after(plan.startUs, () => this.#open(number, journey));
  }

  #open(number: number, journey: Journey): void {
    const { opener, isIpv6 } = journey.plan;
    const port = SERVICE_PORT_FIRST + number;
    const remote = isIpv6 ? REMOTE6 : REMOTE4;
    if (opener === 'guest') {
      this.sys.network.stream(remote, port, journey.service());
      const connection = this.guest.connect(octets(remote), port, journey.guestOptions());
      journey.guestIs(connection);
    } else {
      const published = PUBLISHED_PORT_FIRST + number;
      const to = endpoint(isIpv6 ? HOST6 : HOST4, published);
      this.guest.listen(published, (connection) => journey.guestIs(connection), journey.guestOptions());
      journey.peerIs(this.sys.network.call(to, endpoint(remote, port), journey.service()));
    }
  }
}

/** What a seed makes of the world. */
function planOf(dice: Random): WorldPlan {
  const isBad = dice.chance(0.7);
  return {
    impairment: isBad
      ? {
          loss: pick(dice, [0, 0.01, 0.05]),
          duplication: pick(dice, [0, 0.02]),
          reorder: pick(dice, [0, 0.05]),
          reorderUs: pick(dice, [200, 20_000]),
          delayUs: pick(dice, [0, 100, 5000]),
          jitterUs: pick(dice, [0, 500]),
        }
      : {},
    faults: dice.chance(0.5)
      ? {
          sendVector: { again: 0.05, short: 0.2, noBuffers: 0.02, noMemory: 0.02 },
          peek: { short: 0.1, again: 0.02 },
          discard: { short: 0.2 },
          readFrames: { short: 0.2, again: 0.05 },
        }
      : {},
    peekOffset: dice.chance(0.7),
    offload: dice.chance(0.5),
    mtuBytes: pick(dice, [1500, 1500, 9000, 65_520]),
    latencyUs: pick(dice, [0, 100, 20_000]),
    sendBytesMax: pick(dice, [4000, 50_000, 212_992]),
    receiveBytesMax: pick(dice, [4000, 100_000, 212_992]),
    heldBytesMax: pick(dice, [128 * 1024, 16 * 1024 * 1024]),
    journeys: dice.between(1, 6),
    bytesMax: pick(dice, [2000, 60_000, 200_000]),
    resets: dice.chance(0.3) ? 1 : 0,
  };
}

function journeyOf(dice: Random, world: WorldPlan, number: number): JourneyPlan {
  const isIpv6 = dice.chance(0.3);
  const endings: Ending[] = ['both', 'guest-first', 'host-first'];
  return {
    number,
    opener: number % 3 === 2 ? 'host' : 'guest',
    isIpv6,
    startUs: dice.below(100_000),
    upBytes: dice.chance(0.1) ? 0 : dice.below(world.bytesMax),
    downBytes: dice.chance(0.1) ? 0 : dice.below(world.bytesMax),
    ending: pick(dice, endings),
    resetUs: number < world.resets ? dice.below(2_000_000) : -1,
    resetBy: pick(dice, ['guest', 'host']),
    hostReading: pick(dice, ['fast', 'fast', 100_000, 1_000_000] as const),
    guestReads: dice.chance(0.7) ? 'auto' : 'manual',
    guestReceiveBytes: pick(dice, [3000, 65_535, 300_000]),
    guestScale: pick(dice, [-1, 0, 7]),
    gso: world.offload && dice.chance(0.5),
    initialSequence: pick(dice, [0, 0x7fff_f000, 0xffff_f000]),
    reorderingLink: (world.impairment.reorder ?? 0) > 0 || (world.impairment.duplication ?? 0) > 0,
  };
}

function pick<T>(dice: Random, choices: readonly T[]): T {
  return choices[dice.below(choices.length)]!;
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
