/**
 * Fragments into the store of incomplete datagrams, against a model of a few lines: what comes out is what went in; bytes that contradict one another never do.
 * A part of an input is 8 bytes: datagram, offset (2), length (2), flags, seconds, salt of the content.
 */
import assert from 'node:assert/strict';
import type { Random } from '#tapster/base/random.js';
import { FRONT_BYTES, HELD, INVALID, Reassembly } from '#tapster/nodes/reassembly.js';
import { concatenate, type FuzzTarget, splitBySize } from '../target.ts';

const PART_BYTES = 8;
const DATAGRAMS_MAX = 3;
const MORE = 1;

export const reassemblyTarget: FuzzTarget = {
  name: 'reassembly',
  about: 'fragments: a datagram comes out as it went in, or not at all',
  bytesMax: PART_BYTES * 40,
  millisecondsMax: 500,
  generate: (random) => concatenate(Array.from({ length: random.between(1, 30) }, () => fragment(random))),
  split: (input) => splitBySize(input, PART_BYTES),
  join: concatenate,
  run,
};

function fragment(random: Random): Uint8Array {
  const unit = random.below(8);
  const length = random.chance(0.8) ? 8 : random.below(70);
  const more = random.chance(0.75) ? MORE : 0;
  const salt = random.chance(0.9) ? 0 : 1;
  return Uint8Array.of(random.below(5), 0, unit, 0, length, more, random.chance(0.05) ? random.below(40) : 0, salt);
}

interface Datagram {
  readonly bytes: Map<number, number>;
  startedMs: number;
}

function run(input: Uint8Array): void {
  const store = new Reassembly(DATAGRAMS_MAX);
  const model = new Map<number, Datagram>();
  let nowMs = 0;
  store.expire(nowMs);
  for (const part of splitBySize(input, PART_BYTES)) {
    const [id = 0, high = 0, low = 0, lengthHigh = 0, lengthLow = 0, flags = 0, seconds = 0, salt = 0] = part;
    nowMs += seconds * 1000;
    store.expire(nowMs);
    const offset = ((high << 8) | low) * 8;
    const length = (lengthHigh << 8) | lengthLow;
    const data = Uint8Array.from({ length }, (_, i) => (offset + i) * 7 + id + salt);
    store.probe.fill(0);
    store.probe[9] = id;
    const outcome = add(store, data, offset, (flags & MORE) !== 0);
    assert.ok(store.count <= DATAGRAMS_MAX, 'datagrams have their bound');
    if (outcome === INVALID) continue;
    remember(model, id, offset, data, nowMs);
    if (outcome === HELD) continue;
    compare(store, outcome, model.get(id)!);
    model.delete(id);
    store.release(outcome);
  }
}

function add(store: Reassembly, data: Uint8Array, offset: number, more: boolean): number {
  return store.add(
    new DataView(data.buffer),
    0,
    data.length,
    offset,
    more,
    0,
    offset === 0 ? Math.min(data.length, FRONT_BYTES) : 0,
  );
}

/** The bytes that came for an id last: what the store has given up meanwhile makes no difference, because its bytes come again before they come out. */
function remember(model: Map<number, Datagram>, id: number, offset: number, data: Uint8Array, nowMs: number): void {
  const datagram = model.get(id) ?? { bytes: new Map<number, number>(), startedMs: nowMs };
  model.set(id, datagram);
  for (let i = 0; i < data.length; i++) datagram.bytes.set(offset + i, data[i]!);
}

function compare(store: Reassembly, slot: number, { bytes }: Datagram): void {
  const at = store.payloadAt(slot);
  for (let i = 0; i < store.payloadBytes(slot); i++) {
    assert.equal(store.payloads.getUint8(at + i), bytes.get(i), `byte ${i} of the datagram`);
  }
}
