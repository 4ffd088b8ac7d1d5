/** Neighbour resolution in the graph that it is made for: look-up, neighbours, rewriting, errors. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ADJACENCY } from '../forward/adjacency.ts';
import { flowSecrets, NextHopGroups } from '../forward/ecmp.ts';
import { Graph } from '../graph/graph.ts';
import { ARC_DONE, type GraphNode } from '../graph/node.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { Ip4Error, IpErrors } from './ip-error.ts';
import { Ip4Lookup } from './ip4-lookup.ts';
import { Ip4Rewrite } from './ip4-rewrite.ts';
import { NeighbourWorld, OTHER_LINK, OUR4 } from './neighbour-fixtures.test.ts';
import { type Bytes, checksum, ethernet, ip4, taken, udp } from './packet-fixtures.test.ts';
import { bytes, ip, LINK, receive, run } from './service-fixtures.test.ts';

const OUR_MAC = '020000000002';
const PEER_MAC = '020000000077';
/** On `OTHER_LINK`, from where packets come, and on `LINK`, where they go. */
const SENDER: Bytes = [10, 9, 0, 5];
const PEER: Bytes = [10, 0, 2, 100];

/** Takes all packets, and keeps what reaches it. */
class Sink implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];
  readonly #keep: (packet: Packet) => void;

  constructor(name: string, keep: (packet: Packet) => void = () => assert.fail(`a packet for ${name}`)) {
    this.name = name;
    this.#keep = keep;
  }

  process(_packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) this.#keep(frame[i]);
    arcs.fill(ARC_DONE, 0, count);
  }
}

describe('a router that does not know its neighbours yet', () => {
  let world: NeighbourWorld;
  let graph: Graph;
  let errors: IpErrors;

  beforeEach(() => {
    world = new NeighbourWorld();
    const { adjacencies, addresses, clock, interfaces, sent } = world;
    const our = ip(OUR4);
    const connected = adjacencies.acquire(ADJACENCY.GLEAN, LINK, our.w0, our.w1, our.w2, our.w3);
    errors = new IpErrors({ interfaces, addresses, clock, output: sent });
    const others = ['ip4-local', 'ip4-reassembly', 'tcp-input', 'udp-input', 'icmp-input'];
    const groups = new NextHopGroups();
    const routing = { routes: { lookup: () => connected }, adjacencies, addresses, groups, secrets: flowSecrets(1) };
    graph = new Graph([
      new Ip4Lookup(routing),
      world.ip4,
      new Ip4Rewrite({ adjacencies, interfaces }, sent),
      new Ip4Error(errors),
      ...others.map((name) => new Sink(name)),
      new Sink('interface-output', (packet) => sent.emit(packet)),
    ]);
  });

  function forward(mark: number): void {
    const datagram = udp(1, 2, [mark], SENDER, PEER);
    const packet = receive(world.packets, ethernet(0x0800, ip4(17, datagram, { from: SENDER, to: PEER })));
    world.packets.rxInterface[packet] = OTHER_LINK;
    graph.run(graph.indexOf('ip4-lookup'), world.packets, Int32Array.of(packet), 1);
  }

  /** What the engine does behind each frame, and when a turn ends: the frames that were sent. */
  function endTurn(): number[][] {
    world.resolver.deliver(world);
    for (const { how, packet } of world.released.splice(0)) {
      const entry = graph.indexOf(how === 'send4' ? 'ip4-rewrite' : 'ip4-error');
      graph.run(entry, world.packets, Int32Array.of(packet), 1);
    }
    const frames = world.sent.list.splice(0).map((packet) => taken(world.packets, packet));
    world.packets.reset();
    return frames;
  }

  function answer(): void {
    const reply = bytes(OUR_MAC, PEER_MAC, '0806 0001 0800 0604 0002', PEER_MAC);
    const ours = [...bytes(OUR_MAC), 10, 0, 2, 2];
    assert.equal(run(world.arp, world.packets, receive(world.packets, [...reply, ...PEER, ...ours])), ARC_DONE);
  }

  it('asks, and sends what waited with one hop less, then everything else straight on', () => {
    forward(1);
    forward(2);
    const [request = [], ...more] = endTurn();
    assert.deepEqual([request.slice(12, 14), more], [bytes('0806'), []]);
    answer();
    forward(3);
    const frames = endTurn();
    assert.deepEqual(frames.map((frame) => frame.at(-1)).sort(), [1, 2, 3]);
    for (const frame of frames) {
      assert.deepEqual(frame.slice(0, 14), bytes(PEER_MAC, OUR_MAC, '0800'));
      assert.equal(frame[22], 63);
      assert.equal(checksum(frame.slice(14, 34)), 0);
    }
    const counters = graph.counters().find(({ name }) => name === 'ip4-neighbour');
    assert.equal(counters?.packets, 2);
  });

  it('tells the sender when nobody answers, of each packet that waited', () => {
    forward(1);
    forward(2);
    endTurn();
    world.wait(3);
    forward(3);
    const unreachable = endTurn().filter((frame) => frame[13] === 0x00 && frame[23] === 1);
    assert.equal(errors.sent, 3);
    for (const frame of unreachable) {
      assert.deepEqual(frame.slice(30, 34), SENDER);
      assert.deepEqual(frame.slice(34, 36), [3, 1]);
    }
    assert.equal(unreachable.length, 3);
  });
});
