import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ARC_DONE } from '../graph/node.ts';
import { Packets } from '../packet/packets.ts';
import { BridgeWorld, EVERYBODY, frameOf, gso, interfaceMac, MAC_HIGH, station } from './bridge-fixtures.test.ts';
import { ARC_OUTPUT, ARC_UP } from './bridge-forward.ts';
import { taken } from './packet-fixtures.test.ts';

const [A, B, C] = [station(1), station(2), station(3)];

describe('bridge-input', () => {
  it('floods what it does not know, and forwards what it has learnt', () => {
    const world = new BridgeWorld(3);
    world.bridge(0, 1, 2);
    assert.equal(world.receive(0, frameOf(B, A)), ARC_DONE);
    assert.deepEqual(world.emitted(), [1, 2]);
    assert.equal(world.receive(1, frameOf(A, B)), ARC_OUTPUT);
    assert.equal(world.packets.txInterface[world.newest()], 0);
    assert.equal(world.receive(0, frameOf(B, A)), ARC_OUTPUT);
    assert.equal(world.packets.txInterface[world.newest()], 1);
    assert.deepEqual(world.emitted(), []);
    assert.deepEqual([world.bridges.learnt[0], world.bridges.flooded[0]], [2, 1]);
    assert.deepEqual(world.input.next, ['interface-output', 'ethernet-input']);
  });

  it('sends the same bytes to all: aliases, no copies', () => {
    const world = new BridgeWorld(4);
    world.bridge(0, 1, 2, 3);
    const used = world.packets.used;
    const frame = frameOf(EVERYBODY, A);
    world.receive(0, frame);
    for (const packet of world.sent.list) assert.deepEqual(taken(world.packets, packet), frame);
    assert.equal(new Set(world.sent.list).size, 3);
    assert.equal(new Set(world.sent.list.map((packet) => world.packets.start[packet])).size, 1);
    assert.equal(world.packets.used, used + 12 + frame.length);
  });

  it('reaches all members of a large bridge', () => {
    const world = new BridgeWorld(200);
    world.bridge(...Array(200).keys());
    world.receive(0, frameOf(EVERYBODY, A));
    assert.deepEqual(
      world.emitted(),
      [...Array(200).keys()].filter((member) => member !== 0),
    );
  });

  it('follows an address that moves, and counts it', () => {
    const world = new BridgeWorld(3);
    world.bridge(0, 1, 2);
    world.receive(0, frameOf(EVERYBODY, A));
    world.receive(1, frameOf(EVERYBODY, A));
    world.receive(2, frameOf(A, B));
    assert.equal(world.packets.txInterface[world.newest()], 1);
    assert.equal(world.bridges.moved[0], 1);
  });

  it('forgets an address that is silent', () => {
    const world = new BridgeWorld(3);
    world.bridge(0, 1, 2);
    world.receive(0, frameOf(EVERYBODY, A));
    world.clock.nowUs = 200_000_000;
    world.receive(1, frameOf(EVERYBODY, B));
    world.bridges.age(301_000_000, world.fib.places);
    world.emitted();
    assert.equal(world.receive(2, frameOf(A, C)), ARC_DONE);
    assert.deepEqual(world.emitted(), [0, 1]);
    assert.equal(world.receive(2, frameOf(B, C)), ARC_OUTPUT);
  });

  it('keeps bridges apart', () => {
    const world = new BridgeWorld(4);
    world.bridge(0, 1);
    world.bridge(2, 3);
    world.receive(0, frameOf(EVERYBODY, A));
    assert.deepEqual(world.emitted(), [1]);
    world.receive(2, frameOf(A, B));
    assert.deepEqual(world.emitted(), [3]);
  });

  it('does not send a frame back to where it came from', () => {
    const world = new BridgeWorld(2);
    world.bridge(0, 1);
    world.receive(0, frameOf(EVERYBODY, A));
    assert.equal(world.receive(0, frameOf(A, B)), 'bridge-same-interface');
  });

  it('separates members of one split-horizon group, from group 1 on', () => {
    const world = new BridgeWorld(5);
    const bridge = world.bridge(4);
    [0, 1, 2, 3].forEach((member) => {
      world.bridges.addMember(bridge, member, [1, 1, 2, 0][member]);
    });
    world.receive(0, frameOf(EVERYBODY, A));
    assert.deepEqual(world.emitted(), [2, 3, 4]);
    assert.equal(world.receive(1, frameOf(A, B)), 'bridge-split-horizon');
    assert.equal(world.receive(2, frameOf(A, C)), ARC_OUTPUT);
    world.receive(3, frameOf(EVERYBODY, station(9)));
    assert.deepEqual(world.emitted(), [0, 1, 2, 4]);
  });

  it('passes by members that are down, and hears nothing from them', () => {
    const world = new BridgeWorld(3);
    world.bridge(0, 1, 2);
    world.receive(1, frameOf(EVERYBODY, B));
    world.emitted();
    world.interfaces.up[1] = 0;
    world.receive(0, frameOf(EVERYBODY, A));
    assert.deepEqual(world.emitted(), [2]);
    assert.equal(world.receive(0, frameOf(B, A)), 'bridge-member-down');
    assert.equal(world.receive(1, frameOf(EVERYBODY, C)), 'interface-down');
    assert.equal(world.fib.count, 2);
    world.interfaces.up[2] = 0;
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), 'bridge-nobody');
  });

  it("obeys each member's MTU, but for a VLAN tag and for what its segments decide", () => {
    const world = new BridgeWorld(3);
    world.bridge(0, 1, 2);
    world.interfaces.mtu[1] = 1000;
    world.receive(0, frameOf(EVERYBODY, A, 1000));
    assert.deepEqual(world.emitted(), [1, 2]);
    world.receive(0, frameOf(EVERYBODY, A, 1001));
    assert.deepEqual([world.emitted(), world.bridges.copiesTooBig[0]], [[2], 1]);
    world.receive(1, frameOf(EVERYBODY, B));
    world.emitted();
    assert.equal(world.receive(0, frameOf(B, A, 1001)), 'bridge-frame-too-big');
    assert.equal(world.receive(0, frameOf(B, A, 1004, 0x8100)), ARC_OUTPUT);
    assert.equal(world.receive(0, frameOf(B, A, 1005, 0x8100)), 'bridge-frame-too-big');
    assert.equal(world.receive(0, frameOf(B, A, 5000), gso(972)), ARC_OUTPUT);
    assert.equal(world.receive(0, frameOf(B, A, 5000), gso(973)), 'bridge-frame-too-big');
  });

  it('learns no group, no void, and no more than there is room for', () => {
    const world = new BridgeWorld(2, undefined, 1);
    world.bridge(0, 1);
    assert.equal(world.receive(0, frameOf(B, EVERYBODY)), 'bridge-source-invalid');
    assert.equal(world.receive(0, frameOf(B, [1, 0, 0x5e, 0, 0, 1])), 'bridge-source-invalid');
    assert.equal(world.receive(0, frameOf(B, [0, 0, 0, 0, 0, 0])), 'bridge-source-invalid');
    world.receive(0, frameOf(B, A));
    assert.equal(world.receive(1, frameOf(A, B)), ARC_OUTPUT, 'what is not learnt goes on');
    assert.deepEqual([world.fib.count, world.bridges.learnt[0], world.bridges.notLearnt[0]], [1, 1, 1]);
  });

  it('believes what configuration says about an address, not what a frame says', () => {
    const world = new BridgeWorld(3);
    const bridge = world.bridge(0, 1, 2);
    world.bridges.setStatic(bridge, MAC_HIGH, 1, 0);
    assert.equal(world.receive(1, frameOf(EVERYBODY, A)), 'bridge-source-static');
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), ARC_DONE);
    world.receive(2, frameOf(A, B));
    assert.equal(world.packets.txInterface[world.newest()], 0);
  });

  it('does what the flags of the bridge say', () => {
    const world = new BridgeWorld(2);
    const bridge = world.bridge(0, 1);
    world.bridges.learn[bridge] = 0;
    world.receive(0, frameOf(EVERYBODY, A));
    assert.equal(world.fib.count, 0);
    world.bridges.learn[bridge] = 1;
    world.receive(0, frameOf(EVERYBODY, A));
    world.bridges.forward[bridge] = 0;
    assert.equal(world.receive(1, frameOf(A, B)), 'bridge-forward-disabled');
    world.bridges.flood[bridge] = 0;
    assert.equal(world.receive(1, frameOf(EVERYBODY, B)), 'bridge-flood-disabled');
    world.emitted();
    assert.equal(world.receive(1, frameOf(C, B)), ARC_DONE);
    world.bridges.unknownUnicastFlood[bridge] = 0;
    assert.equal(world.receive(1, frameOf(C, B)), 'bridge-destination-unknown');
  });

  it('keeps on their link the groups that belong there, but not spanning tree', () => {
    const world = new BridgeWorld(2);
    world.bridge(0, 1);
    for (const last of [1, 2, 3, 0x0e, 0x0f]) {
      assert.equal(world.receive(0, frameOf([1, 0x80, 0xc2, 0, 0, last], A)), 'bridge-reserved-group');
    }
    for (const last of [0, 0x10]) assert.equal(world.receive(0, frameOf([1, 0x80, 0xc2, 0, 0, last], A)), ARC_DONE);
    assert.deepEqual(world.emitted(), [1, 1]);
  });

  it('drops what comes from no bridge', () => {
    const world = new BridgeWorld(2);
    world.bridge(0);
    for (const from of [1, -1, 999]) assert.equal(world.receive(from, frameOf(B, A)), 'bridge-not-member');
  });

  it('says in a trace where it sees a frame go', () => {
    const world = new BridgeWorld(3);
    world.bridges.setBvi(world.bridge(0, 1), 2);
    world.receive(1, frameOf(EVERYBODY, B));
    const line = (frame: number[], from: number = 0): string | undefined =>
      world.input.describe(world.packets, world.packet(from, frame));
    const start = 'bridge 0 interface 0: 02:00:00:00:00:01 >';
    assert.equal(line(frameOf(B, A)), `${start} 02:00:00:00:00:02, behind interface 1`);
    assert.equal(line(frameOf(C, A)), `${start} 02:00:00:00:00:03, not known`);
    assert.equal(line(frameOf(EVERYBODY, A)), `${start} ff:ff:ff:ff:ff:ff, a group`);
    assert.equal(line(frameOf(interfaceMac(2), A)), `${start} 02:00:00:00:03:ea, the BVI`);
    assert.equal(line([1, 2, 3]), undefined);
    assert.equal(line(frameOf(B, A), -1), undefined);
  });

  it('loses and counts the copies for which there is no row, and sends the frame itself', () => {
    const world = new BridgeWorld(5, new Packets(4096, 3));
    world.bridge(0, 1, 2, 3, 4);
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), ARC_DONE);
    assert.deepEqual([world.emitted().length, world.bridges.copiesLost[0]], [3, 1]);
    world.packets.reset();
    world.packets.allocate(0);
    world.packets.allocate(0);
    world.receive(0, frameOf(EVERYBODY, A));
    assert.deepEqual([world.emitted().length, world.bridges.copiesLost[0]], [1, 4]);
  });
});

describe('a bridge with a BVI', () => {
  function withBvi(): BridgeWorld {
    const world = new BridgeWorld(4);
    world.bridges.setBvi(world.bridge(0, 1), 3);
    return world;
  }

  it('brings frames for its address up to the IP layer, as if they had come in by it', () => {
    const world = withBvi();
    assert.equal(world.receive(0, frameOf(interfaceMac(3), A)), ARC_UP);
    assert.equal(world.packets.rxInterface[world.newest()], 3);
    assert.deepEqual(world.emitted(), []);
  });

  it('brings it bytes of its own where members have the frame too, for it changes them', () => {
    const world = withBvi();
    const frame = frameOf(EVERYBODY, A);
    const packet = world.packet(0, frame, gso(1000));
    const arcs = new Uint8Array(1);
    world.input.process(world.packets, Int32Array.of(packet), 1, arcs);
    assert.equal(arcs[0], ARC_UP);
    assert.equal(world.packets.rxInterface[packet], 3);
    const { start, bytes } = world.packets;
    bytes.fill(0, start[packet] - 12, start[packet] + frame.length);
    const [copy] = world.sent.list;
    assert.deepEqual(taken(world.packets, copy), frame);
    assert.deepEqual([...bytes.subarray(start[copy] - 12, start[copy])], gso(1000));
    assert.equal(world.packets.rxInterface[copy], 0);
    assert.deepEqual(world.emitted(), [1]);
  });

  it('copies nothing where the IP layer is the only one that listens', () => {
    const world = withBvi();
    world.interfaces.up[1] = 0;
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), ARC_UP);
    assert.equal(world.packets.count, 1);
  });

  it('loses the copy when there is no room for it, and serves the members', () => {
    const world = new BridgeWorld(4, new Packets(100, 8));
    const bridge = world.bridge(0, 1);
    world.bridges.setBvi(bridge, 3);
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), ARC_DONE);
    assert.deepEqual([world.emitted(), world.bridges.copiesLost[bridge]], [[1], 1]);
  });

  it('brings it frames for unknown addresses only when it is promiscuous', () => {
    const world = withBvi();
    assert.equal(world.receive(0, frameOf(B, A)), ARC_DONE);
    world.interfaces.promiscuous[3] = 1;
    assert.equal(world.receive(0, frameOf(B, A)), ARC_UP);
    assert.deepEqual(world.emitted(), [1, 1]);
  });

  it('brings nothing up to one that is down', () => {
    const world = withBvi();
    world.interfaces.up[3] = 0;
    assert.equal(world.receive(0, frameOf(interfaceMac(3), A)), 'bridge-member-down');
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), ARC_DONE);
  });

  it('does not believe a member that has its address', () => {
    const world = withBvi();
    assert.equal(world.receive(0, frameOf(EVERYBODY, interfaceMac(3))), 'bridge-source-static');
    assert.equal(world.fib.count, 0);
  });
});
