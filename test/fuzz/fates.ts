/**
 * What each run of a graph did with its packets. Engines keep their graphs to themselves; so all graphs report here. While a graph runs, a guarded arena is sealed: see
 * `guarded-view.ts`.
 */
import assert from 'node:assert/strict';
import { Graph } from '#tapster/graph/graph.js';
import { BviOutput } from '#tapster/nodes/bvi-output.js';
import type { Packet, Packets } from '#tapster/packet/packets.js';
import { ArenaView } from './guarded-view.ts';

export interface Fates {
  /** Packets that a graph was given. */
  given: number;
  dropped: number;
  done: number;
}

/** Of all graphs since the process began. */
export const fates: Fates = { given: 0, dropped: 0, done: 0 };

/** Packets of our own that a bridge did not take: they have a reason too, but no graph was given them. */
let refused = 0;

const { emit } = BviOutput.prototype;
BviOutput.prototype.emit = function (this: BviOutput, packet: Packet) {
  const { dropped } = this;
  emit.call(this, packet);
  refused += this.dropped - dropped;
};

const runGraph = Graph.prototype.run;
Graph.prototype.run = function (this: Graph, entry: number, packets: Packets, frame: Int32Array, count: number) {
  const { view } = packets;
  const before = reasons(packets) - reasonsOf(packets, frame, count) - refused;
  if (view instanceof ArenaView) view.sealed = true;
  runGraph.call(this, entry, packets, frame, count);
  if (view instanceof ArenaView) view.sealed = false;
  // A datagram that was put together takes the place of its last fragment: it is not among those that came, but of it there is the reason.
  const dropped = reasons(packets) - refused - before;
  assert.ok(dropped <= count, 'no packet is dropped twice');
  fates.given += count;
  fates.dropped += dropped;
  fates.done += count - dropped;
};

function reasons(packets: Packets): number {
  let count = 0;
  for (let packet = 0; packet < packets.count; packet++) if (packets.reason[packet] !== 0) count++;
  return count;
}

/** Those that are refused enter with their reason. */
function reasonsOf(packets: Packets, frame: Int32Array, count: number): number {
  let found = 0;
  for (let i = 0; i < count; i++) if (packets.reason[frame[i]!] !== 0) found++;
  return found;
}
