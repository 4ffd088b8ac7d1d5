import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEY_WORDS } from './flow-key.ts';
import { FLOW_STATE, FlowTable, OUTCOME, SIDE } from './flow-table.ts';

const MAX = 24;

/** A key in few values, so that keys often differ in one word only. */
const key = fc.record({
  protocol: fc.constantFrom(1, 6, 17),
  rxInterface: fc.nat(1),
  guest: fc.nat(2),
  guestPort: fc.constantFrom(0, 1, 0xffff),
  remote: fc.nat(2),
  remotePort: fc.constantFrom(0, 80, 0xffff),
  ipv4: fc.boolean(),
});
type Key = typeof key extends fc.Arbitrary<infer K> ? K : never;

function probe(flows: FlowTable, k: Key): void {
  const guest = [0, 0, 0xffff, 0x0a000200 | k.guest] as const;
  const [r0, r1, r2] = k.ipv4 ? [0, 0, 0xffff] : [0x20010db8, 0, 0];
  flows.setProbe(k.protocol, k.rxInterface, ...guest, k.guestPort, r0!, r1!, r2!, k.remote, k.remotePort);
}

/** Looks the probe up by the words that differ between IPv4 flows. */
function findShort(flows: FlowTable): number {
  const { probe } = flows;
  return flows.findIpv4(probe[0], probe[4], probe[8], probe[9]);
}

test('finds what was put in and nothing else, as a Map does', () => {
  const step = fc.tuple(fc.constantFrom('insert', 'insert', 'remove', 'find'), key);
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { minLength: 50, maxLength: 300 }), (secret, steps) => {
      const flows = new FlowTable(MAX, secret);
      const model = new Map<string, number>();
      for (const [action, k] of steps) {
        probe(flows, k);
        const known = model.get(JSON.stringify(k));
        const found = flows.find();
        assert.equal(found, known ?? -1);
        if (k.ipv4) assert.equal(findShort(flows), found, 'the short way for IPv4 finds the same');
        if (action === 'insert' && known === undefined) {
          const flow = flows.insert(SIDE.GUEST, 1000);
          assert.equal(flow === -1, model.size === MAX);
          if (flow !== -1) model.set(JSON.stringify(k), flow);
        } else if (action === 'remove' && known !== undefined) {
          flows.remove(known);
          model.delete(JSON.stringify(k));
        }
        assert.equal(flows.count, model.size);
      }
      for (const [text, flow] of model) {
        probe(flows, JSON.parse(text) as Key);
        assert.equal(flows.find(), flow);
      }
      assert.equal(new Set(model.values()).size, model.size, 'no number is given twice');
    }),
    { numRuns: 200 },
  );
});

test('colliding hashes are kept apart, also when one in their midst goes', () => {
  // A table of 8 has 16 slots: half full, chains run into each other and round the end.
  for (let secret = 0; secret < 200; secret++) {
    const flows = new FlowTable(8, secret);
    const held = new Map<number, number>();
    for (let round = 0; round < 60; round++) {
      const port = (round * 7 + secret) % 16;
      flows.setProbe(6, 0, 0, 0, 0xffff, 1, port, 0, 0, 0xffff, 2, 80);
      const flow = flows.find();
      assert.equal(flow, held.get(port) ?? -1);
      if (flow !== -1) {
        flows.remove(flow);
        held.delete(port);
      } else if (flows.count < 8) {
        held.set(port, flows.insert(SIDE.GUEST, 0));
      }
      for (const [other, expected] of held) {
        flows.setProbe(6, 0, 0, 0, 0xffff, 1, other, 0, 0, 0xffff, 2, 80);
        assert.equal(flows.find(), expected);
      }
    }
  }
});

test('a full table refuses and counts, and old flows go on', () => {
  const flows = new FlowTable(3, 1);
  for (let port = 0; port < 5; port++) {
    flows.setProbe(17, 0, 0, 0, 0xffff, 1, port, 0, 0, 0xffff, 2, 53);
    assert.equal(flows.insert(SIDE.GUEST, 0), port < 3 ? port : -1);
  }
  assert.deepEqual([flows.count, flows.opened, flows.full], [3, 3, 2]);
  flows.setProbe(17, 0, 0, 0, 0xffff, 1, 1, 0, 0, 0xffff, 2, 53);
  assert.equal(flows.find(), 1);
  flows.setProbe(17, 0, 0, 0, 0xffff, 1, 4, 0, 0, 0xffff, 2, 53);
  assert.equal(flows.find(), -1, 'looking for what is not there ends, in a full table too');
});

test('numbers are reused first in, first out, with a new id', () => {
  const flows = new FlowTable(4, 9);
  const open = (port: number): number => {
    flows.setProbe(6, 0, 0, 0, 0xffff, 1, port, 0, 0, 0xffff, 2, 80);
    return flows.insert(SIDE.HOST, 5);
  };
  const first = [open(1), open(2)];
  flows.remove(first[1]);
  flows.remove(first[0]);
  assert.deepEqual([open(3), open(4), open(5), open(6)], [2, 3, first[1], first[0]]);
  assert.deepEqual([...flows.id], [6, 5, 3, 4]);
});

test('a new flow has its own columns and the remote address as target', () => {
  const flows = new FlowTable(1, 0);
  flows.setProbe(6, 3, 1, 2, 3, 4, 0xfffe, 5, 6, 7, 8, 0xffff);
  const flow = flows.insert(SIDE.GUEST, 77);
  flows.bytesOut[flow] = 5;
  flows.rttUs[flow] = 9;
  flows.outcome[flow] = OUTCOME.closed;
  flows.remove(flow);
  flows.setProbe(17, 3, 1, 2, 3, 4, 0xfffe, 5, 6, 7, -8, 0xffff);
  assert.equal(flows.insert(SIDE.HOST, 78), flow);
  assert.deepEqual([...flows.targets], [5, 6, 7, -8, 0xffff, 0]);
  assert.deepEqual([flows.bytesOut[flow], flows.rttUs[flow], flows.outcome[flow]], [0, -1, OUTCOME.pending]);
  assert.deepEqual([flows.origin[flow], flows.openedUs[flow], flows.activeUs[flow]], [SIDE.HOST, 78, 78]);
  assert.deepEqual([flows.protocol(flow), flows.interfaceIndex(flow)], [17, 3]);
  assert.deepEqual([flows.guestPort(flow), flows.remotePort(flow)], [0xfffe, 0xffff]);
  assert.equal(flows.isIpv4(flow), false);
  assert.equal(flows.keys.length, KEY_WORDS);
});

test('the life cycle is asserted', () => {
  const flows = new FlowTable(1, 0);
  flows.setProbe(6, 0, 0, 0, 0xffff, 1, 1, 0, 0, 0xffff, 2, 80);
  const flow = flows.insert(SIDE.GUEST, 0);
  assert.ok(flows.isIpv4(flow));
  assert.throws(() => flows.setActive(flow), /targeted/);
  flows.setTargeted(flow);
  assert.throws(() => flows.setTargeted(flow), /new/);
  flows.setActive(flow);
  flows.hostFd[flow] = 4;
  assert.throws(() => flows.remove(flow), /descriptor/);
  flows.hostFd[flow] = -1;
  flows.remove(flow);
  assert.equal(flows.state[flow], FLOW_STATE.FREE);
  assert.throws(() => flows.remove(flow), /free/);
});
