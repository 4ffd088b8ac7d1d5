import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Graph } from '../graph/graph.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { ReleasedFrames } from './released-frames.ts';

const PACKETS = FRAME_PACKETS_MAX * 2 + 10;

it('released packets enter the graph where their kind does, in order, in frames', () => {
  const packets = new Packets(64 * 1024, PACKETS, new Uint8Array(64 * 1024));
  const released = new ReleasedFrames(packets);
  const entries = ['ip4-rewrite', 'ip6-rewrite', 'ip4-error', 'ip6-error'];
  let runs: [string, number[]][] = [];
  const graph = {
    indexOf: (name: string) => entries.indexOf(name),
    run: (entry: number, _packets: Packets, frame: Int32Array, count: number) => {
      runs.push([entries[entry]!, [...frame.subarray(0, count)]]);
    },
  } as unknown as Graph;
  const packet = (): Packet => packets.allocate(60);

  const four = Array.from({ length: FRAME_PACKETS_MAX + 3 }, packet);
  const [six, refused4, refused6] = [packet(), packet(), packet()] as [Packet, Packet, Packet];
  released.refuse(refused6, true);
  for (const each of four) released.send(each, false);
  released.send(six, true);
  released.refuse(refused4, false);
  released.run(graph);
  assert.deepEqual(runs, [
    ['ip4-rewrite', four.slice(0, FRAME_PACKETS_MAX)],
    ['ip4-rewrite', four.slice(FRAME_PACKETS_MAX)],
    ['ip6-rewrite', [six]],
    ['ip4-error', [refused4]],
    ['ip6-error', [refused6]],
  ]);
  runs = [];
  released.run(graph);
  assert.deepEqual(runs, [], 'each is sent once');
});
