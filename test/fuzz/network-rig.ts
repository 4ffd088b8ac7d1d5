/**
 * A running network on a simulated host, for targets that send it frames and change it meanwhile: its configuration is applied by the same code as in the product, with
 * turns of the engine between any two steps of it; its arenas are guarded; every frame that it sends is judged (`frame-judge.ts`).
 */
import assert from 'node:assert/strict';
import { NEIGHBOUR_PACKET_BYTES_MAX } from '#tapster/base/limits.js';
import { Random } from '#tapster/base/random.js';
import { failure, type Result, success } from '#tapster/base/result.js';
import type { Config } from '#tapster/config/config.js';
import { EMPTY_CONFIG } from '#tapster/config/empty-config.js';
import type { Contents, TapPart } from '#tapster/config/parts.js';
import { FLOW_STATE } from '#tapster/flow/flow-table.js';
import type { CaptureSink } from '#tapster/link/capture.js';
import { CapturePoint } from '#tapster/link/capture-point.js';
import { Configurator } from '#tapster/network/configurator.js';
import { DataPlane } from '#tapster/network/data-plane.js';
import { PartBuilder } from '#tapster/network/part-builder.js';
import { carries } from '#tapster/network/port.js';
import type { TapDevice } from '#tapster/network/tap-device.js';
import { type LinkOffload, NO_OFFLOAD } from '#tapster/packet/offload.js';
import type { Packet, Packets } from '#tapster/packet/packets.js';
import type { SimulatedDevice } from '#tapster/sys/simulated/device.js';
import { SimulatedSys } from '#tapster/sys/simulated.js';
import { fates } from './fates.ts';
import { FrameJudge } from './frame-judge.ts';
import { guard } from './guarded-view.ts';
import { answerOf } from './network-guests.ts';
import { addServices } from './rig.ts';
import { settle, wait } from './turns.ts';

/** As few as there may be, so that there are too many. */
const FLOWS_MAX = 16;
const UNWILLING = 'the kernel is not willing';
/** A fault of `socket`, which published ports are made with. */
const NO_MEMORY = 'ENOMEM';
const DONE: Result<void> = success(undefined);
/** Descriptors of an engine that has no interfaces: its poll set and its timer. */
const OWN_DESCRIPTORS = 2;

export class NetworkRig {
  readonly sys: SimulatedSys = new SimulatedSys({ seed: 1, sendBytesMax: 16_384, receiveBytesMax: 65_536 });
  readonly plane: DataPlane;
  readonly configurator: Configurator;
  /** By the name of the interface, while there is one. */
  readonly devices: Map<string, SimulatedDevice> = new Map();
  readonly judge: FrameJudge;
  /** The call to the kernel's side of a tap that fails, counted from now on; 0: none. */
  failsAt: number = 0;
  /** Guests answer nothing. */
  silent: boolean = false;
  readonly #lost: { readonly name: string; readonly errno: number }[] = [];
  readonly #before: { given: number; dropped: number; done: number } = { ...fates };
  readonly #nothing: Record<string, number>;
  readonly #witness: CaptureSink = new Witness();
  #captures: boolean = false;
  #opened: number = 0;
  #closed: number = 0;

  constructor() {
    addServices(this.sys.network);
    const random = new Random(7);
    this.plane = new DataPlane(this.sys, {
      flowsMax: FLOWS_MAX,
      onConflict: () => {},
      flowSink: { opened: () => this.#opened++, closed: () => this.#closed++ },
      onCaptureEnded: () => {},
      nodes: [],
      random: () => random.next(),
    });
    const { engine, joined, segments, tagged } = this.plane;
    for (const packets of [engine.packets, joined, segments, tagged]) guard(packets);
    this.judge = new FrameJudge(this.plane);
    const builder = new SettlingBuilder(
      this.plane,
      (part) => this.#openTap(part),
      () => this.#settleSteps(),
    );
    this.configurator = new Configurator(builder, { lost: () => {}, met: () => {} });
    engine.onLinkLost = (index, errno) => {
      const port = this.plane.ports.at(index);
      if (port?.kind !== 'tap' || port.device.lost) return;
      port.device.lost = true;
      this.#lost.push({ name: port.name, errno });
    };
    this.#nothing = this.#counts();
  }

  /** All or nothing. */
  async apply(config: Config): Promise<void> {
    const before = this.configurator.unmet.length;
    const applied = await this.configurator.apply(config);
    if (!applied.ok) {
      const { message } = applied.failure;
      // Unless the kernel is unwilling just then: what it was not willing to is unmet, and repaired.
      const [, left = ''] = message.split('could not all be undone');
      assert.ok(left === '' || left.includes(UNWILLING) || left.includes(NO_MEMORY), message);
      if (left === '')
        assert.equal(this.configurator.unmet.length, before, 'nothing is missing behind what was undone');
    }
    this.settle();
  }

  /** Between two steps of a change; those of the first one are seen by nobody. */
  #settleSteps(): void {
    if (this.configurator.revision > 0) this.settle();
    this.#checkOrphans();
  }

  /** Nothing is kept of interfaces that are gone, or that are not what they were. */
  #checkOrphans(): void {
    const { engine, forwarding, wiring, ports } = this.plane;
    const { flows } = engine;
    for (let flow = 0; flow < flows.max; flow++) {
      if (flows.state[flow] === FLOW_STATE.FREE) continue;
      const port = ports.at(flows.interfaceIndex(flow));
      assert.ok(port !== undefined, 'a flow has an interface');
      assert.ok(port.kind === 'bvi' || port.bridge === undefined, `a flow has ${port.name}, which is in a bridge`);
    }
    for (const { bridge, interfaceIndex } of forwarding.l2fib.count > 0 ? forwarding.l2fib.entries() : []) {
      assert.equal(forwarding.interfaces.bridge[interfaceIndex], bridge, 'a station is behind a member of its bridge');
    }
    const { store, table } = wiring.resolver;
    for (const { interfaceIndex } of table.list(0)) {
      assert.ok(ports.at(interfaceIndex) !== undefined, 'a neighbour is on an interface');
    }
    if (store.count === 0) assert.equal(store.usedBytes, 0, 'no memory is kept of packets that wait no more');
  }

  send(name: string, frame: Uint8Array): void {
    const device = this.devices.get(name);
    if (device === undefined || !device.send(frame)) return;
    this.judge.came(name, frame);
  }

  /** A capture sees all frames of the taps that are there, or they are seen no more. */
  capture(): void {
    this.#captures = !this.#captures;
    for (const { queueLinks } of this.plane.ports.taps()) {
      for (const point of queueLinks) {
        assert.ok(point instanceof CapturePoint);
        if (this.#captures) point.add(this.#witness);
        else point.remove(this.#witness);
      }
    }
  }

  settle(): void {
    settle(this.sys, this.plane.engine, () => {});
    this.judge.settled();
  }

  wait(us: number): void {
    wait(this.sys, this.plane.engine, us, () => this.judge.settled());
  }

  /** What follows when devices have gone, as the network does it. */
  async mourn(): Promise<void> {
    this.settle();
    for (const { name, errno } of this.#lost.splice(0)) {
      this.configurator.lose(name, { code: 'interface-lost', message: `${name} has gone (${errno})` });
      this.devices.delete(name);
    }
    await this.configurator.repair();
    this.settle();
  }

  /** Bounds that hold at any time, and what became of all that was received. */
  check(): void {
    const { engine, wiring, forwarding } = this.plane;
    assert.ok(engine.flows.count <= FLOWS_MAX, 'flows have their bound');
    assert.ok(wiring.resolver.store.count * 14 <= NEIGHBOUR_PACKET_BYTES_MAX, 'what waits has its bound');
    assert.ok(forwarding.l2fib.count <= forwarding.l2fib.max, 'stations have their bound');
    const counters = engine.nodeCounters();
    const dropped = counters.flatMap(({ drops }) => Object.entries(drops));
    assert.ok(
      dropped.every(([reason]) => reason !== 'none'),
      'every drop has a reason',
    );
    const drops = dropped.reduce((sum, [, count]) => sum + count, 0);
    const { given, done } = this.#fates();
    assert.equal(this.#fates().dropped, drops, 'each drop is counted once');
    assert.equal(given, drops + done, 'what was received is dropped or done');
    this.#checkOrphans();
    for (const port of this.plane.ports) {
      const { index } = port;
      assert.equal(forwarding.interfaces.up[index] === 1, carries(port), `${port.name} is as it should be`);
    }
  }

  /** Takes everything away, behind which nothing may be left. */
  async finish(): Promise<void> {
    this.failsAt = 0;
    this.sys.faults.plan = {};
    await this.mourn();
    this.check();
    await this.apply(EMPTY_CONFIG);
    assert.deepEqual(this.#counts(), this.#nothing, 'of an engine without anything nothing is left');
    const { engine } = this.plane;
    this.plane.wiring.withdraw();
    engine.close();
    assert.equal(this.#opened, this.#closed, 'each flow that was opened was closed');
    assert.equal(engine.tcp.heldBytes, 0, 'no held byte is left');
    assert.deepEqual(this.sys.openDescriptors(), [], 'no descriptor is left');
  }

  #fates(): { given: number; dropped: number; done: number } {
    return {
      given: fates.given - this.#before.given,
      dropped: fates.dropped - this.#before.dropped,
      done: fates.done - this.#before.done,
    };
  }

  /** All that grows and must shrink again. */
  #counts(): Record<string, number> {
    const { engine, forwarding, wiring, ports } = this.plane;
    const { adjacencies, bridges, groups, interfaces, l2fib, routes, vlans } = forwarding;
    const bridgeNumbers = Array.from({ length: 8 }, (_, bridge) => bridge);
    const indices = Array.from({ length: interfaces.end }, (_, index) => index);
    return {
      flows: engine.flows.count,
      timers: engine.timers,
      ports: [...ports].length,
      interfaces: indices.filter((index) => interfaces.has(index)).length,
      addresses: indices.reduce((sum, index) => sum + forwarding.addresses.list(index).length, 0),
      adjacencies: adjacencies.count,
      groups: groups.count,
      routes4: routes.fib4.count,
      routes6: routes.fib6.count,
      stations: l2fib.count,
      bridges: bridgeNumbers.filter((bridge) => bridges.has(bridge)).length,
      vlans: vlans.count,
      neighbours: wiring.resolver.table.count,
      waiting: wiring.resolver.store.count,
      waitingBytes: wiring.resolver.store.usedBytes,
      descriptors: this.sys.openDescriptors().length - OWN_DESCRIPTORS,
    };
  }

  #openTap(part: TapPart): Result<TapDevice> {
    const failed = this.#fail();
    if (failed !== undefined) return failed;
    const device = this.sys.device({ onFrame: (frame) => this.#sent(part.interface, frame) });
    this.devices.set(part.interface, device);
    // A class with private parts, of which links see what follows only.
    return success(new SimulatedTap(this.sys, device.fd, part, () => this.#fail()) as unknown as TapDevice);
  }

  #sent(name: string, frame: Uint8Array): void {
    this.judge.sent(name, frame);
    const answer = this.silent ? undefined : answerOf(name, frame);
    if (answer !== undefined) this.send(name, answer);
  }

  #fail(): Result<never> | undefined {
    if (this.failsAt === 0 || --this.failsAt > 0) return undefined;
    return failure('tap-failed', UNWILLING);
  }
}

/** A capture that reads each frame as a whole, and keeps nothing. */
class Witness implements CaptureSink {
  received(packets: Packets, packet: Packet): void {
    read(packets, packet);
  }

  transmitted(packets: Packets, packet: Packet): void {
    read(packets, packet);
  }

  turnEnded(): void {}
}

function read({ view, start, length }: Packets, packet: Packet): void {
  const from = start[packet]!;
  for (let at = from; at < from + length[packet]!; at++) view.getUint8(at);
}

/** Lets the engine have turns behind each step. */
class SettlingBuilder extends PartBuilder {
  readonly #settle: () => void;

  constructor(plane: DataPlane, openTap: (part: TapPart) => Result<TapDevice>, settleAll: () => void) {
    super(plane, () => DONE, openTap);
    this.#settle = settleAll;
  }

  override add(part: Contents): Result<void> {
    return this.#settled(super.add(part));
  }

  override remove(part: Contents): Result<void> {
    return this.#settled(super.remove(part));
  }

  override change(from: Contents, to: Contents): Result<void> {
    return this.#settled(super.change(from, to));
  }

  #settled(result: Result<void>): Result<void> {
    this.#settle();
    return result;
  }
}

/** The kernel's side of a tap, as far as `TapParts` asks of it. */
class SimulatedTap {
  readonly tap: { readonly hasVnetHeader: boolean } = { hasVnetHeader: true };
  readonly fds: readonly number[];
  lost: boolean = false;
  offload: LinkOffload;
  readonly #sys: SimulatedSys;
  readonly #fail: () => Result<never> | undefined;

  constructor(sys: SimulatedSys, fd: number, part: TapPart, fail: () => Result<never> | undefined) {
    this.#sys = sys;
    this.#fail = fail;
    this.fds = [fd];
    this.offload = offloadOf(part.tap.offload);
  }

  setCarrier(): Result<void> {
    return (this.lost ? undefined : this.#fail()) ?? DONE;
  }

  change(): Result<void> {
    return this.#fail() ?? DONE;
  }

  setBridge(): Result<void> {
    return this.#fail() ?? DONE;
  }

  setOffload(setting: TapPart['tap']['offload']): Result<void> {
    const failed = this.#fail();
    if (failed !== undefined) return failed;
    this.offload = offloadOf(setting);
    return DONE;
  }

  letGo(): void {}

  close(): void {
    for (const fd of this.fds) this.#sys.close(fd);
  }
}

function offloadOf(setting: TapPart['tap']['offload']): LinkOffload {
  if (setting === 'none') return NO_OFFLOAD;
  const segmentation = setting === 'gso';
  return { checksum: true, tcpSegmentation: segmentation, udpSegmentation: segmentation };
}
