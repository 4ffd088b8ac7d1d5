/**
 * An engine on a simulated host, for targets that send it frames: its arena is guarded, every frame that it received is accounted for, every frame that it
 * sent is looked at, and in the end nothing may be left of it.
 */
import assert from 'node:assert/strict';
import { MacAddress, parseIpAddress, parseIpPrefix } from '#tapster/base/address.js';
import { NEIGHBOURS_MAX } from '#tapster/base/limits.js';
import { Random } from '#tapster/base/random.js';
import { Engine } from '#tapster/engine/engine.js';
import { GuestWiring } from '#tapster/engine/guest-wiring.js';
import { NameTable } from '#tapster/flow/names.js';
import { VERDICT } from '#tapster/flow/policy.js';
import { TapLink } from '#tapster/link/tap.js';
import type { ServiceConfig } from '#tapster/nodes/service-config.js';
import { pingService } from '#tapster/sys/simulated/datagram-service.js';
import type { SimulatedDevice } from '#tapster/sys/simulated/device.js';
import type { SimulatedNetwork } from '#tapster/sys/simulated/network.js';
import { SimulatedSys } from '#tapster/sys/simulated.js';
import { fates } from './fates.ts';
import { problemOf } from './frames.ts';
import { guard } from './guarded-view.ts';
import { settle, wait } from './turns.ts';

const FLOWS_MAX = 16;
const NAMES_MAX = 64;
/** The store for slow hosts is small, so that it is seen full. */
const HELD_BYTES_MAX = 4 * 64 * 1024;
const HOUR_US = 3_600_000_000;

const REMOTES: readonly string[] = ['198.51.100.7', '2001:db8:1::7'];

export const SERVICES: ServiceConfig = {
  ourMac: new MacAddress(0x0200, 2),
  mtu: 1500,
  ipv4: {
    address: prefix('10.0.2.15/24'),
    gateway: address('10.0.2.2'),
    dns: [address('10.0.2.3')],
    routes: [],
  },
  ipv6: {
    address: prefix('2001:db8::15/64'),
    gateway: address('fe80::1'),
    ourLinkLocal: address('fe80::1'),
    dns: [address('2001:db8:1::7')],
  },
  searchDomains: ['example.org'],
  hostName: 'guest',
  leaseSeconds: 3600,
  dhcp: true,
  dhcpv6: true,
  ndp: true,
  ra: true,
};

export interface RigOptions {
  readonly peekOffset?: boolean;
  readonly offload?: boolean;
}

export class Rig {
  readonly sys: SimulatedSys;
  readonly engine: Engine;
  readonly device: SimulatedDevice;
  readonly names: NameTable = new NameTable(NAMES_MAX);
  /** Sees each frame for the guest. */
  onFrame: (frame: Uint8Array) => void = () => {};
  #opened: number = 0;
  #closed: number = 0;
  readonly #before: { dropped: number; done: number } = { ...fates };

  constructor(options: RigOptions = {}) {
    const { offload = false, peekOffset = true } = options;
    this.sys = new SimulatedSys({ seed: 1, peekOffset, sendBytesMax: 16_384, receiveBytesMax: 65_536 });
    addServices(this.sys.network);
    const random = new Random(7);
    this.engine = new Engine(this.sys, {
      flowsMax: FLOWS_MAX,
      policy: { decide: () => VERDICT.ALLOW },
      callers: { map: () => {} },
      names: this.names,
      wiring: new GuestWiring({
        services: SERVICES,
        localNames: new Map([['host.tapster.internal', [address('10.0.2.2'), address('fe80::1')]]]),
      }),
      observer: () => ({ opened: () => this.#opened++, closed: () => this.#closed++ }),
      random: () => random.next(),
      heldBytesMax: HELD_BYTES_MAX,
    });
    guard(this.engine.packets);
    this.device = this.sys.device();
    const { fd } = this.device;
    const offloads = { checksum: offload, tcpSegmentation: offload, udpSegmentation: offload };
    const { arenaMemory } = this.engine;
    const link = new TapLink(this.sys, { name: 'tap', fd, hasVnetHeader: true, offload: offloads, arenaMemory });
    this.engine.addLink(link, fd, { index: 0, mtu: 1500, ourMacHigh: 0x0200, ourMacLow: 2, offload: offloads });
  }

  /** Turns until there is nothing to do at this moment. */
  settle(): void {
    settle(this.sys, this.engine, this.#receive);
  }

  /** Lets time pass, with turns wherever something happens. */
  wait(us: number): void {
    wait(this.sys, this.engine, us, this.#receive);
  }

  /** Bounds that hold at any time, and what became of all that was received. */
  check(): void {
    const { engine } = this;
    assert.ok(engine.flows.count <= FLOWS_MAX, 'flows have their bound');
    assert.ok(this.names.count <= NAMES_MAX, 'names have their bound');
    assert.ok(engine.tcp.heldBytes <= HELD_BYTES_MAX, 'held bytes have their bound');
    assert.ok(NEIGHBOURS_MAX >= 1);
    const counters = engine.nodeCounters();
    const dropped = counters.flatMap(({ drops }) => Object.entries(drops));
    assert.ok(
      dropped.every(([reason]) => reason !== 'none'),
      'every drop has a reason',
    );
    const drops = dropped.reduce((sum, [, count]) => sum + count, 0);
    const { rxPackets } = engine.interfaceCounters(0);
    const done = fates.done - this.#before.done;
    assert.equal(fates.dropped - this.#before.dropped, drops, 'each drop is counted once');
    assert.equal(rxPackets, drops + done, 'what was received is dropped or done');
    const entry = counters.find(({ name }) => name === 'ethernet-input');
    assert.equal(entry?.packets, rxPackets, 'what was received has entered the graph');
  }

  /** Ends the engine, behind which nothing may be left. `silence`: first the guest falls silent, the far ends end and read all, and every flow must end by itself; that takes many turns. */
  finish(silence: boolean): void {
    if (silence) this.#fallSilent();
    this.check();
    this.close();
  }

  #fallSilent(): void {
    this.sys.faults.plan = {};
    for (const peer of this.sys.network.peers) {
      if (peer.state !== 'connected') continue;
      peer.setReading('fast');
      peer.end();
    }
    for (let hours = 0; hours < 6 && this.engine.flows.count > 0; hours += 0.25) this.wait(HOUR_US / 4);
    assert.equal(this.engine.flows.count, 0, 'flows end by themselves when the guest is silent');
  }

  close(): void {
    const { engine } = this;
    engine.close();
    assert.equal(engine.flows.count, 0, 'no flow is left');
    assert.equal(this.#opened, this.#closed, 'each flow that was opened was closed');
    assert.equal(engine.tcp.heldBytes, 0, 'no held byte is left');
    assert.equal(engine.timers, 0, 'no timer is left');
    assert.deepEqual(this.sys.openDescriptors(), [], 'no descriptor is left');
  }

  readonly #receive = (): void => {
    for (const frame of this.device.receive()) this.#sent(frame);
  };

  #sent(frame: Uint8Array): void {
    const problem = problemOf(frame);
    assert.equal(problem, undefined, `a frame to the guest has a problem: ${problem}`);
    this.onFrame(frame);
  }
}

/** Far ends of every temper: see the ports. */
export function addServices(network: SimulatedNetwork): void {
  for (const remote of REMOTES) {
    network.stream(remote, 80, { echo: true });
    network.stream(remote, 82, { outcome: 'unreachable' });
    network.stream(remote, 83, { outcome: 'timeout' });
    network.stream(remote, 84, {
      onConnect: (peer) => {
        peer.send(new Uint8Array(5000));
        peer.end();
      },
    });
    network.stream(remote, 85, { reading: 'manual' });
    network.stream(remote, 86, { onConnect: (peer) => peer.reset() });
    network.datagram(remote, '*', { answer: (payload) => [payload] });
    network.datagram(remote, 81, { error: 'port-unreachable' });
    network.datagram(remote, 82, { mtuBytes: 100 });
    network.ping(remote, pingService);
  }
  network.datagram('*', 53, { answer: (query) => [answerTo(query)] });
}

/** What came, as if it were an answer. */
function answerTo(query: Uint8Array): Uint8Array {
  const answer = query.slice();
  if (answer.length > 2) answer[2]! |= 0x80;
  return answer;
}

function address(text: string): NonNullable<ReturnType<typeof parseIpAddress>> {
  const parsed = parseIpAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

function prefix(text: string): NonNullable<ReturnType<typeof parseIpPrefix>> {
  const parsed = parseIpPrefix(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}
