/** The nodes of a router as one graph, wired as features behind the input nodes, with real routes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseIpAddress } from '../base/address.ts';
import { ADJACENCY } from '../forward/adjacency.ts';
import { Fib4 } from '../forward/fib4.ts';
import { Graph } from '../graph/graph.ts';
import { ARC_DONE, type GraphNode } from '../graph/node.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { bytes, LEFT, RIGHT, Router } from './forward-fixtures.test.ts';
import { Ip4Error, IpErrors } from './ip-error.ts';
import { Ip4Local } from './ip-local.ts';
import { Ip4Input } from './ip4-input.ts';
import { Ip4Lookup } from './ip4-lookup.ts';
import { Ip4Reassembly } from './ip4-reassembly.ts';
import { Ip4Rewrite } from './ip4-rewrite.ts';
import * as make from './packet-fixtures.test.ts';
import { Reassembly } from './reassembly.ts';

const OUR4 = bytes('10.0.2.1');

/** Keeps what comes, in place of a node that is tested elsewhere. */
class Sink implements GraphNode {
  readonly next: readonly string[] = [];
  readonly name: string;
  readonly #taken: [string, Packet][];

  constructor(name: string, taken: [string, Packet][]) {
    this.name = name;
    this.#taken = taken;
  }

  process(_packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      this.#taken.push([this.name, frame[i]]);
      arcs[i] = ARC_DONE;
    }
  }
}

class Scene {
  readonly router: Router = new Router();
  readonly taken: [string, Packet][] = [];
  readonly #graph: Graph;

  constructor() {
    const { router, taken } = this;
    const routes = new Fib4();
    const insert = (address: string, length: number, value: number): void => {
      assert.ok(routes.insert(parseIpAddress(address)!.w3, length, value).ok);
    };
    const local = router.routes4.lookup(parseIpAddress('10.0.2.1')!.w3);
    insert('10.0.2.1', 32, local);
    insert('0.0.0.0', 0, router.special(ADJACENCY.UPLINK));
    insert('198.18.0.0', 15, router.neighbour(RIGHT, '192.0.2.9'));
    const sinks = ['tcp-input', 'udp-input', 'icmp-input', 'dhcp-input', 'ip4-neighbour', 'interface-output'];
    this.#graph = new Graph(
      [
        new Ip4Input('ip4-lookup'),
        new Ip4Reassembly(new Reassembly()),
        new Ip4Lookup({ ...router, routes }),
        new Ip4Local(router.interfaces, router.output),
        new Ip4Rewrite(router, router.output),
        new Ip4Error(new IpErrors(router)),
        ...sinks.map((name) => new Sink(name, taken)),
      ],
      ['tcp-input', 'udp-input', 'icmp-input', 'ip4-reassembly'].map((before) => ({ before, node: 'ip4-lookup' })),
    );
  }

  /** Where the packets come out, in order. */
  run(...packets: make.Bytes[]): string[] {
    const frame = Int32Array.from(packets, (packet) => this.router.receive(packet));
    this.taken.length = 0;
    this.#graph.run(0, this.router.packets, frame, frame.length);
    return this.taken.map(([name]) => name);
  }

  ip(index: number): number[] {
    return this.router.ip(this.taken[index][1]);
  }
}

describe('a router', () => {
  it('forwards, whatever the protocol', () => {
    const scene = new Scene();
    const to = bytes('198.18.7.7');
    const packets = [6, 17, 1, 47, 132].map((protocol) => make.ip4(protocol, new Array(20).fill(0), { to }));
    assert.deepEqual(scene.run(...packets), new Array(5).fill('interface-output'));
    assert.equal(scene.router.packets.txInterface[scene.taken[0][1]], RIGHT);
  });

  it('translates what goes by the uplink, and answers for itself', () => {
    const scene = new Scene();
    const to = bytes('203.0.113.5');
    assert.deepEqual(scene.run(make.ip4(6, new Array(20).fill(0), { to }), make.ip4(17, make.udp(1, 2, []), { to })), [
      'tcp-input',
      'udp-input',
    ]);
    assert.deepEqual(scene.run(make.ip4(1, make.icmp4(8, 0, [1, 2, 3, 4]), { to: OUR4 })), ['interface-output']);
    assert.deepEqual(scene.ip(0).slice(20), make.icmp4(0, 0, [1, 2, 3, 4]));
    assert.deepEqual(scene.run(make.ip4(17, make.udp(1, 2, []), { to: OUR4 })), []);
    assert.deepEqual(scene.router.ip(scene.router.sent[0]).slice(20, 22), [3, 3]);
    assert.deepEqual(scene.run(make.ip4(47, [], { to: OUR4 })), []);
    assert.deepEqual(scene.router.ip(scene.router.sent[1]).slice(20, 22), [3, 2]);
  });

  it('puts fragments together for itself and for the uplink, and for nobody else', () => {
    const scene = new Scene();
    const echo = make.icmp4(8, 0, new Array(60).fill(9));
    const pieces = (to: string): number[][] => [
      make.ip4(1, echo.slice(0, 32), { to: bytes(to), fragment: 0x2000 }),
      make.ip4(1, echo.slice(32), { to: bytes(to), fragment: 4 }),
    ];
    assert.deepEqual(scene.run(...pieces('198.18.7.7')), ['interface-output', 'interface-output']);
    assert.deepEqual(scene.ip(1).slice(6, 9), [0, 4, 63]);
    assert.deepEqual(scene.run(...pieces('203.0.113.5')), ['icmp-input']);
    assert.deepEqual(scene.ip(0).slice(20), echo);
    assert.deepEqual(scene.run(...pieces('10.0.2.1')), ['interface-output']);
    assert.equal(scene.ip(0)[20], 0);
    assert.equal(scene.router.packets.txInterface[scene.taken[0][1]], LEFT);
  });
});
