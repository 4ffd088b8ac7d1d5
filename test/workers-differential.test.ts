/**
 * What goes by workers comes out as it would by the main thread alone: the same frames into two networks on simulated hosts, of which one has its taps served by a worker
 * (in this thread: `FastPath` is told all by messages anyway), while configurations change; after each frame both must have sent the same.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { WORKER_RING_BYTES } from '#tapster/base/limits.js';
import { Random } from '#tapster/base/random.js';
import { type Result, success } from '#tapster/base/result.js';
import type { Config } from '#tapster/config/config.js';
import type { TapPart } from '#tapster/config/parts.js';
import { MANY_INTERFACES } from '#tapster/engine/queue.js';
import { Configurator } from '#tapster/network/configurator.js';
import { DataPlane } from '#tapster/network/data-plane.js';
import { FastPath } from '#tapster/network/fast-path.js';
import { FrameRing } from '#tapster/network/frame-ring.js';
import { PartBuilder } from '#tapster/network/part-builder.js';
import type { TapPort } from '#tapster/network/port.js';
import { PuntLink } from '#tapster/network/punt-link.js';
import { Replication } from '#tapster/network/replication.js';
import type { TapDevice } from '#tapster/network/tap-device.js';
import type { Update } from '#tapster/network/worker-messages.js';
import { addReport, Reporter } from '#tapster/network/worker-report.js';
import { finishChecksum } from '#tapster/packet/finish-checksum.js';
import { type LinkOffload, NO_OFFLOAD } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import type { SimulatedDevice } from '#tapster/sys/simulated/device.js';
import { SimulatedSys } from '#tapster/sys/simulated.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { pick } from './fuzz/frames.ts';
import { CHANGES_COUNT, configOf, DEVICES } from './fuzz/network-config.ts';
import { networkFrame } from './fuzz/network-frames.ts';
import { addServices } from './fuzz/rig.ts';
import { settle, wait } from './fuzz/turns.ts';
import { ACK, VNET_BYTES, writeTcp } from './support/guest-frame.ts';

const DONE: Result<void> = success(undefined);
const SEEDS = Number(process.env['TAPSTER_TEST_SEEDS'] ?? 6);
const STEPS = 500;
/** So long that both have done all there is to do, and their clocks agree. */
const SETTLING_US = 1000;
const HOUSEKEEPING_US = 1_100_000;

class Network {
  readonly sys: SimulatedSys = new SimulatedSys({ seed: 1, sendBytesMax: 16_384, receiveBytesMax: 65_536 });
  readonly plane: DataPlane;
  readonly builder: PartBuilder;
  readonly configurator: Configurator;
  readonly devices: Map<string, SimulatedDevice> = new Map();
  /** Since `take`: device and bytes. */
  #sent: string[] = [];

  constructor() {
    addServices(this.sys.network);
    const random = new Random(7);
    this.plane = new DataPlane(this.sys, {
      onConflict: () => {},
      flowSink: { opened: () => {}, closed: () => {} },
      onCaptureEnded: () => {},
      nodes: [],
      random: () => random.next(),
    });
    this.builder = new PartBuilder(
      this.plane,
      () => DONE,
      (part) => this.#openTap(part),
    );
    this.configurator = new Configurator(this.builder, { lost: () => {}, met: () => {} });
  }

  /** Returns why it was refused, or nothing. */
  async apply(config: Config): Promise<string> {
    const applied = await this.configurator.apply(config);
    await this.settle();
    return applied.ok ? '' : applied.failure.message;
  }

  async send(name: string, frame: Uint8Array): Promise<void> {
    this.devices.get(name)?.send(frame);
    await this.settle();
  }

  /** Takes `SETTLING_US` of time. */
  async settle(): Promise<void> {
    wait(this.sys, this.plane.engine, SETTLING_US, () => {});
  }

  async wait(us: number): Promise<void> {
    wait(this.sys, this.plane.engine, us, () => {});
    await this.settle();
  }

  /** What interfaces have carried and dropped. */
  counters(): Record<string, Record<string, number>> {
    const { engine, forwarding, ports } = this.plane;
    const { rxPackets, rxBytes, txPackets, txBytes } = forwarding.interfaces;
    return Object.fromEntries(
      [...ports].map(({ name, index }) => {
        const link = engine.interfaceCounters(index);
        const counters = {
          rxPackets: link.rxPackets + rxPackets[index]!,
          rxBytes: link.rxBytes + rxBytes[index]!,
          txPackets: link.txPackets + txPackets[index]!,
          txBytes: link.txBytes + txBytes[index]!,
          txErrors: link.txErrors,
          rxDrops: engine.graph.droppedOf(index),
        };
        return [name, counters];
      }),
    );
  }

  /** What was sent since it was asked for last. */
  take(): string[] {
    return this.#sent.splice(0).sort();
  }

  #openTap(part: TapPart): Result<TapDevice> {
    const device = this.sys.device({
      onFrame: (frame) => void this.#sent.push(`${part.interface} ${completed(frame)}`),
    });
    this.devices.set(part.interface, device);
    const { sys } = this;
    const tap = {
      ...{ tap: { hasVnetHeader: true }, fds: [device.fd], lost: false, offload: offloadOf(part) },
      ...{ setCarrier: () => DONE, change: () => DONE, setBridge: () => DONE, letGo: () => {} },
      setOffload(offload: TapPart['tap']['offload']): Result<void> {
        this.offload = offloadOf({ ...part, tap: { ...part.tap, offload } });
        return DONE;
      },
      close: () => sys.close(device.fd),
    };
    // A class with private parts, of which links see what is here only.
    return success(tap as unknown as TapDevice);
  }
}

/** With its checksum, in hex. Of a frame that is flooded it depends on the order of members which copies are completed, and either is right. */
function completed(frame: Uint8Array): string {
  const packets = new Packets(frame.length + 4, 1);
  packets.bytes.set(frame);
  const packet = packets.adopt(VNET_BYTES, frame.length - VNET_BYTES);
  if (vnet.flags(packets.view, 0) === vnet.FLAG_NEEDS_CSUM) finishChecksum(packets, packet);
  return Buffer.from(packets.bytes.subarray(0, frame.length)).toString('hex');
}

function offloadOf({ tap: { offload } }: TapPart): LinkOffload {
  if (offload === 'none') return NO_OFFLOAD;
  return { checksum: true, tcpSegmentation: offload === 'gso', udpSegmentation: offload === 'gso' };
}

/** All its taps are a worker's, between two changes of the configuration. */
class NetworkWithWorker extends Network {
  readonly path: FastPath;
  readonly #reporter: Reporter;
  readonly #replication: Replication = new Replication(this.plane, () => this.builder.forwarding.bridges);
  readonly #attached: Set<TapPort> = new Set();
  #told: Update[] = [];

  constructor() {
    super();
    const { sys, plane } = this;
    const ring = FrameRing.memory(WORKER_RING_BYTES);
    const bell = sys.timerCreate();
    plane.engine.addQueue(MANY_INTERFACES, new PuntLink(sys, 'worker', new FrameRing(ring), bell), bell);
    this.path = new FastPath(sys, { poll: sys.pollCreate(), bell, ring, secrets: plane.forwarding.secrets });
    this.#reporter = new Reporter(this.path, () => Math.floor(sys.nowUs() / 1_000_000));
    this.builder.onChanged = (part) => this.#replication.partChanged(part);
  }

  follow(): Promise<void> {
    return this.#replication.follow((updates) => void this.#told.push(...structuredClone(updates)));
  }

  override async apply(config: Config): Promise<string> {
    for (const port of this.#attached) this.#recall(port);
    this.#attached.clear();
    const refused = await super.apply(config);
    for (const port of this.plane.ports.taps()) if (port.part.tap.mode === 'tap') this.#attach(port);
    return refused;
  }

  /** Both threads, until neither has anything to do; what one has learnt the other hears behind its turns. */
  override async settle(): Promise<void> {
    const { sys } = this;
    const until = sys.nowUs() + SETTLING_US;
    await this.#settleNow();
    addReport(this.plane, this.#reporter.report());
    wait(sys, this.plane.engine, until - sys.nowUs(), () => {});
    // What that time has brought.
    await this.#settleNow();
  }

  async #settleNow(): Promise<void> {
    const { sys, plane, path } = this;
    for (;;) {
      while (path.turn(0));
      // Before the bell, which takes a moment: so what is punted has the same time as what is not.
      plane.engine.wake(MANY_INTERFACES);
      settle(sys, plane.engine, () => {});
      await new Promise((resolve) => setImmediate(resolve));
      const told = this.#told.splice(0);
      for (const update of told) path.apply(update);
      if (told.length === 0 && path.idle) return;
    }
  }

  #attach(port: TapPort): void {
    const { index, name, device, links, part } = port;
    const fd = links[0]!.fd;
    this.plane.engine.removeQueue(index, fd);
    const { offload } = device;
    const { groCoalesce } = part.tap;
    this.path.attach({ index, name, hasVnetHeader: true, offload, groCoalesce, served: [fd], shared: fd });
    this.#attached.add(port);
  }

  #recall(port: TapPort): void {
    this.path.detach(port.index);
    this.plane.engine.addQueue(port.index, port.queueLinks[0]!, port.links[0]!.fd);
  }
}

/** Who is behind each tap: the address, and ours that it asks for. */
const GUESTS: readonly (readonly [own: string, ours: string, ourMac: number])[] = [
  ['10.0.0.9', '10.0.0.1', 0],
  ['10.0.1.9', '10.0.1.1', 1],
  ['10.0.2.2', '10.0.2.1', 0x10],
  ['10.0.2.3', '10.0.2.1', 0x10],
  ['10.0.2.9', '10.0.2.1', 0x10],
];

/** Of those who know each other: somebody says where it is, or a segment goes on its way. */
function guestFrame(random: Random, device: number): Uint8Array {
  const from = device % GUESTS.length;
  const to = random.below(GUESTS.length);
  const [own, ours, ourMac] = GUESTS[from]!;
  const bridged = from >= 2 && to >= 2;
  const sourceMac = guestMac(from);
  if (random.chance(0.3)) return arpRequest(sourceMac, own, ours);
  const destinationMac = bridged ? guestMac(to) : Uint8Array.of(2, 0xfe, 0, 0, 0, ourMac);
  const destination = random.chance(0.8) ? GUESTS[to]![0] : `10.9.${random.below(9)}.1`;
  const segment = {
    ...{ source: bytesOf(own), destination: bytesOf(destination), sourcePort: random.below(9), destinationPort: 80 },
    ...{ sequence: 1, acknowledgment: 1, flags: ACK, window: 512, options: {}, gsoBytes: 0 },
    payload: new Uint8Array(pick(random, [0, 100, 1200, 1460])),
  };
  return writeTcp(segment, { sourceMac, destinationMac, partialChecksum: random.chance(0.5) });
}

function guestMac(device: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, device, 0, 9);
}

function bytesOf(address: string): Uint8Array {
  return Uint8Array.from(address.split('.'), Number);
}

function arpRequest(mac: Uint8Array, own: string, asked: string): Uint8Array {
  const header = [0, 1, 8, 0, 6, 4, 0, 1];
  const body = [...header, ...mac, ...bytesOf(own), 0, 0, 0, 0, 0, 0, ...bytesOf(asked)];
  return Uint8Array.of(...new Uint8Array(VNET_BYTES), ...new Uint8Array(6).fill(0xff), ...mac, 8, 6, ...body);
}

describe('a network with a worker', () => {
  let sentByWorkers = 0;
  after(() => assert.ok(sentByWorkers > (SEEDS * STEPS) / 20, `${sentByWorkers} frames were sent by workers`));

  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`sends what one without sends (seed ${seed})`, async () => {
      const random = new Random(seed);
      const alone = new Network();
      const withWorker = new NetworkWithWorker();
      const both = [alone, withWorker];
      const same = (what: string): void => assert.deepEqual(withWorker.take(), alone.take(), what);
      const on: boolean[] = [];
      // A worker that begins late is told everything, one that is there each change.
      if (seed % 2 === 0) await withWorker.follow();
      for (const network of both) await network.apply(configOf(on));
      if (seed % 2 === 1) await withWorker.follow();
      for (const network of both) await network.wait(3_000_000);
      same('the beginning');
      for (let step = 0; step < STEPS; step++) {
        if (random.chance(0.04)) {
          // Few at a time, so that something is left that goes on by itself.
          const standing = on.flatMap((isOn, change) => (isOn ? change : []));
          const change = standing.length > 2 ? pick(random, standing) : random.below(CHANGES_COUNT);
          on[change] = on[change] !== true;
          const refused = await alone.apply(configOf(on));
          assert.equal(await withWorker.apply(configOf(on)), refused);
          if (refused !== '') on[change] = on[change] !== true;
          // What waited for a neighbour that is configured now leaves with the next frame that comes, or within a second.
          for (const network of both) await network.wait(HOUSEKEEPING_US);
          same(`step ${step}: change ${change}`);
        } else if (random.chance(0.05)) {
          const us = 1000 * 2 ** random.below(16);
          for (const network of both) await network.wait(us);
          same(`step ${step}: ${us} us`);
        } else {
          const device = random.below(DEVICES.length);
          const frame = random.chance(0.4) ? networkFrame(random, device) : guestFrame(random, device);
          for (const network of both) await network.send(DEVICES[device]!, frame);
          same(`step ${step}: a frame by ${DEVICES[device]}: ${Buffer.from(frame).toString('hex')}`);
        }
      }
      assert.deepEqual(withWorker.counters(), alone.counters());
      const seen = withWorker.path.graph.counters();
      const packets = (name: string): number => seen.find((node) => node.name === name)!.packets;
      sentByWorkers += packets('interface-output');
    });
  }
});
