/** Bridges against a model that is slow and simple: each frame reaches exactly the members that it must, whatever happened before. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Graph } from '../graph/graph.ts';
import { ARC_DONE, FRAME_PACKETS_MAX, type GraphNode } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { BridgeWorld, EVERYBODY, frameOf, interfaceMac, MAC_HIGH, station } from './bridge-fixtures.test.ts';
import { ARC_OUTPUT, ARC_UP } from './bridge-forward.ts';
import { type Bytes, taken } from './packet-fixtures.test.ts';
import { run } from './service-fixtures.test.ts';

const MEMBERS = 6;
const BRIDGES = 2;
/** The interface that is the BVI of a bridge. */
const bviOf = (bridge: number): number => MEMBERS + bridge;
const INTERFACES = MEMBERS + BRIDGES;
const STATIONS = 6;

const flag = fc.integer({ min: 0, max: 4 }).map((n) => n > 0);
const topology = fc.record({
  members: fc.array(
    fc.record({
      bridge: fc.integer({ min: -1, max: BRIDGES - 1 }),
      group: fc.constantFrom(0, 0, 1, 2),
      up: flag,
      mtu: fc.constantFrom(100, 1500, 1500),
    }),
    { minLength: MEMBERS, maxLength: MEMBERS },
  ),
  bridges: fc.array(
    fc.record({
      learn: flag,
      forward: flag,
      flood: flag,
      unknown: flag,
      ageingS: fc.constantFrom(0, 3, 10),
      bvi: fc.boolean(),
      bviUp: flag,
      promiscuous: fc.boolean(),
    }),
    { minLength: BRIDGES, maxLength: BRIDGES },
  ),
});
type Topology = typeof topology extends fc.Arbitrary<infer Value> ? Value : never;

/** A station, the BVI of a bridge, or a group. */
const address = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: STATIONS }).map(station) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: BRIDGES - 1 }).map((bridge) => interfaceMac(bviOf(bridge))) },
  { weight: 2, arbitrary: fc.constantFrom<number[][]>([...EVERYBODY], [0x33, 0x33, 0, 0, 0, 1]) },
);
const any = fc.integer({ min: 0, max: INTERFACES - 1 });
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('receive' as const),
      at: any,
      to: address,
      from: address,
      big: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('transmit' as const),
      at: any,
      to: address,
      from: address,
      big: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('toggle' as const), at: any }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), at: any }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('static' as const), at: any, mac: fc.integer({ min: 1, max: STATIONS }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 8 }) }) },
);

/** Who has a frame: members, and whether the IP layer has. */
interface Reached {
  readonly members: number[];
  readonly up: boolean;
}
const NOBODY: Reached = { members: [], up: false };

class Model {
  readonly #topology: Topology;
  readonly bridge: number[];
  readonly up: boolean[];
  readonly known: Map<string, { at: number; heardS: number | undefined }>[];
  nowS: number = 0;

  constructor(from: Topology) {
    this.#topology = from;
    this.bridge = [...from.members.map((each) => each.bridge), ...from.bridges.map((each, i) => (each.bvi ? i : -1))];
    this.up = [...from.members.map((each) => each.up), ...from.bridges.map((each) => each.bviUp)];
    this.known = from.bridges.map(() => new Map());
  }

  receive(at: number, to: Bytes, from: Bytes, ipBytes: number): Reached {
    const bridge = this.bridge[at];
    if (bridge < 0 || at >= MEMBERS || !this.up[at] || (from[0] & 1) === 1 || this.#isBvi(bridge, from)) return NOBODY;
    const flags = this.#topology.bridges[bridge];
    const known = this.known[bridge].get(`${from}`);
    if (flags.learn) {
      if (known !== undefined && known.heardS === undefined && known.at !== at) return NOBODY;
      if (known?.heardS !== undefined || known === undefined) {
        this.known[bridge].set(`${from}`, { at, heardS: this.nowS });
      }
    }
    return this.#send(bridge, at, to, ipBytes);
  }

  transmit(at: number, to: Bytes, ipBytes: number): Reached {
    if (this.bridge[at] < 0 || at < MEMBERS) return { members: [at], up: false };
    return this.up[at] ? this.#send(this.bridge[at], at, to, ipBytes) : NOBODY;
  }

  wait(seconds: number): void {
    this.nowS += seconds;
    this.known.forEach((table, bridge) => {
      const { ageingS } = this.#topology.bridges[bridge];
      for (const [mac, { heardS }] of [...table]) {
        if (heardS !== undefined && ageingS > 0 && this.nowS - heardS > ageingS) table.delete(mac);
      }
    });
  }

  leave(at: number): void {
    for (const table of this.known) for (const [mac, each] of [...table]) if (each.at === at) table.delete(mac);
    this.bridge[at] = -1;
  }

  #send(bridge: number, from: number, to: Bytes, ipBytes: number): Reached {
    const flags = this.#topology.bridges[bridge];
    const all = [...Array(MEMBERS).keys()].filter((member) => this.#mayHave(bridge, from, member, ipBytes));
    const upMay = flags.bvi && from !== bviOf(bridge) && this.up[bviOf(bridge)];
    if ((to[0] & 1) === 1) return flags.flood ? { members: all, up: upMay } : NOBODY;
    if (this.#isBvi(bridge, to)) return { members: [], up: flags.forward && upMay };
    const known = this.known[bridge].get(`${to}`);
    if (known === undefined) return flags.unknown ? { members: all, up: upMay && flags.promiscuous } : NOBODY;
    return { members: flags.forward ? all.filter((member) => member === known.at) : [], up: false };
  }

  #isBvi(bridge: number, mac: Bytes): boolean {
    return this.#topology.bridges[bridge].bvi && `${mac}` === `${interfaceMac(bviOf(bridge))}`;
  }

  #mayHave(bridge: number, from: number, member: number, ipBytes: number): boolean {
    const { group, mtu } = this.#topology.members[member];
    const fromGroup = from < MEMBERS ? this.#topology.members[from].group : 0;
    const isApart = group !== 0 && group === fromGroup;
    return this.bridge[member] === bridge && member !== from && this.up[member] && !isApart && ipBytes <= mtu;
  }
}

function build(from: Topology): BridgeWorld {
  const world = new BridgeWorld(INTERFACES);
  const { bridges, interfaces } = world;
  from.bridges.forEach((each, i) => {
    bridges.add();
    bridges.learn[i] = Number(each.learn);
    bridges.forward[i] = Number(each.forward);
    bridges.flood[i] = Number(each.flood);
    bridges.unknownUnicastFlood[i] = Number(each.unknown);
    bridges.ageingS[i] = each.ageingS;
    if (each.bvi) bridges.setBvi(i, bviOf(i));
    interfaces.up[bviOf(i)] = Number(each.bviUp);
    interfaces.promiscuous[bviOf(i)] = Number(each.promiscuous);
  });
  from.members.forEach(({ bridge, group, up, mtu }, i) => {
    if (bridge >= 0) bridges.addMember(bridge, i, group);
    interfaces.up[i] = Number(up);
    interfaces.mtu[i] = mtu;
  });
  return world;
}

/** Runs a node on a packet, and says who has it, after a look at what they have. */
function reached(world: BridgeWorld, node: GraphNode, packet: Packet, frame: Bytes): Reached {
  const { packets } = world;
  const arc = run(node, packets, packet);
  const sent = world.sent.list.splice(0);
  if (arc === ARC_OUTPUT) sent.push(packet);
  if (arc === ARC_UP) {
    assert.equal(packets.rxInterface[packet], bviOf(world.interfaces.bridge[packets.rxInterface[packet]]));
    assert.deepEqual(taken(packets, packet), [...frame]);
    for (const each of sent) assert.notEqual(packets.start[each], packets.start[packet]);
  }
  for (const each of sent) assert.deepEqual(taken(packets, each), [...frame]);
  const members = sent.map((each) => packets.txInterface[each]).sort((a, b) => a - b);
  return { members, up: arc === ARC_UP };
}

describe('bridges, against a model', () => {
  it('bring each frame to those who must have it, and to nobody else', () => {
    fc.assert(
      fc.property(topology, fc.array(step, { minLength: 1, maxLength: 60 }), (from, steps) => {
        const world = build(from);
        const model = new Model(from);
        for (const each of steps) {
          world.packets.reset();
          if (each.do === 'receive' || each.do === 'transmit') {
            const ipBytes = each.big ? 400 : 46;
            const frame = frameOf(each.to, each.from, ipBytes);
            const packet = world.packet(each.at, frame);
            world.packets.txInterface[packet] = each.at;
            const isReceived = each.do === 'receive';
            const found = reached(world, isReceived ? world.input : world.output, packet, frame);
            const expected = isReceived
              ? model.receive(each.at, each.to, each.from, ipBytes)
              : model.transmit(each.at, each.to, ipBytes);
            assert.deepEqual(found, expected);
          } else if (each.do === 'toggle') {
            model.up[each.at] = !model.up[each.at];
            world.interfaces.up[each.at] = Number(model.up[each.at]);
          } else if (each.do === 'wait') {
            model.wait(each.seconds);
            world.clock.nowUs = model.nowS * 1_000_000;
            world.bridges.age(world.clock.nowUs, world.fib.places);
          } else if (each.at < MEMBERS && model.bridge[each.at] >= 0) {
            if (each.do === 'leave') {
              model.leave(each.at);
              world.bridges.removeMember(each.at);
            } else {
              const bridge = model.bridge[each.at];
              model.known[bridge].set(`${station(each.mac)}`, { at: each.at, heardS: undefined });
              assert.equal(world.bridges.setStatic(bridge, MAC_HIGH, each.mac, each.at), true);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('bridges in a graph', () => {
  /** Ends packets, and keeps them. */
  function end(name: string): GraphNode & { readonly seen: Packet[] } {
    const seen: Packet[] = [];
    return {
      name,
      seen,
      next: [],
      process(_packets, frame, count, arcs): void {
        seen.push(...frame.subarray(0, count));
        arcs.fill(ARC_DONE, 0, count);
      },
    };
  }

  it('flood a full frame to members and the IP layer, and no frame of the graph overflows', () => {
    const world = new BridgeWorld(4, new Packets(1 << 20, 2048));
    world.bridges.setBvi(world.bridge(0, 1, 2), 3);
    const [output, ethernet] = [end('interface-output'), end('ethernet-input')];
    const features = [{ before: 'interface-output', node: 'bvi-output' }];
    const graph = new Graph([ethernet, world.input, world.output, output], features);
    const frame = Int32Array.from({ length: FRAME_PACKETS_MAX }, (_, i) => {
      const to = i % 4 === 0 ? interfaceMac(3) : i % 4 === 1 ? station(1) : EVERYBODY;
      return world.packet(0, frameOf(to, station(2)));
    });
    world.fib.learn(0, MAC_HIGH, 1, 1, 0);
    graph.run(graph.indexOf('bridge-input'), world.packets, frame, FRAME_PACKETS_MAX);
    const quarter = FRAME_PACKETS_MAX / 4;
    assert.deepEqual([ethernet.seen.length, output.seen.length], [3 * quarter, quarter]);
    assert.equal(world.sent.list.length, 2 * 2 * quarter);
    assert.equal(new Set([...ethernet.seen, ...output.seen, ...world.sent.list]).size, 8 * quarter);
    assert.equal(world.bridges.copiesLost[0], 0);
  });
});
