/**
 * Whole frames into a whole engine, with time, faults of the host and deeds of the far ends between them. An input is parts with their lengths in front; the first byte of a part says
 * what it is:
 *
 * | byte   | part                                                                    |
 * | ------ | ----------------------------------------------------------------------- |
 * | 0      | a frame, virtio-net header in front; those behind one another come in one turn |
 * | 1      | time: 2^n ms                                                            |
 * | 2      | faults of the host's calls: how often each                              |
 * | 3      | a far end does something: which, what, how many bytes                   |
 * | others | a turn                                                                  |
 */
import type { Random } from '#tapster/base/random.js';
import type { SimulatedPeer } from '#tapster/sys/simulated/peer.js';
import type { SimulatedSys } from '#tapster/sys/simulated.js';
import { frame, pick, repairFrame } from '../frames.ts';
import { Rig } from '../rig.ts';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

const FRAME = 0;
const TIME = 1;
const FAULTS = 2;
const DEED = 3;
const TURN = 4;
const PARTS_MAX = 60;

export const engineTarget: FuzzTarget = {
  name: 'engine',
  about: 'frames into the whole graph: no failure, each counted, nothing read outside of it, nothing left behind',
  bytesMax: 16_384,
  millisecondsMax: 3000,
  generate: (random) => joinByLength(Array.from({ length: random.between(1, PARTS_MAX) }, () => part(random))),
  split: splitByLength,
  join: joinByLength,
  repair: (bytes, random) => {
    if (bytes[0] === FRAME) repairFrame(bytes.subarray(1), random);
  },
  run,
};

function part(random: Random): Uint8Array {
  const kind = pick(random, [FRAME, FRAME, FRAME, FRAME, FRAME, FRAME, FRAME, TURN, TURN, TIME, FAULTS, DEED]);
  if (kind === FRAME) return Uint8Array.of(FRAME, ...frame(random));
  if (kind === TIME) return Uint8Array.of(TIME, random.below(22));
  if (kind === FAULTS) return Uint8Array.of(FAULTS, random.next(), random.next(), random.next());
  return Uint8Array.of(kind, random.next(), random.next(), random.next());
}

function run(input: Uint8Array): void {
  const rig = new Rig({ peekOffset: (input.length & 1) === 0, offload: (input.length & 2) === 0 });
  for (const [kind = TURN, ...data] of splitByLength(input)) {
    if (kind === FRAME) {
      rig.device.send(Uint8Array.from(data));
      continue;
    }
    rig.settle();
    const [first = 0, second = 0, third = 0] = data;
    if (kind === TIME) rig.wait(1000 * 2 ** (first % 22));
    else if (kind === FAULTS) setFaults(rig.sys, first, second, third);
    else if (kind === DEED) act(rig.sys.network.peers, first, second, third);
  }
  rig.settle();
  rig.check();
  rig.finish((input.length & 12) === 0);
}

/** How often each of the host's calls does less than it was asked for, or nothing. */
export function setFaults(sys: SimulatedSys, sends: number, reads: number, others: number): void {
  const often = (byte: number): number => (byte & 15) / 30;
  sys.faults.plan = {
    sendVector: { short: often(sends), again: often(sends >> 4), noBuffers: often(sends >> 4) / 2 },
    peek: { short: often(reads), again: often(reads >> 4) / 2 },
    discard: { short: often(reads) },
    socket: { noMemory: often(others) / 2 },
  };
}

/** Something that the application at a far end does. */
export function act(peers: readonly SimulatedPeer[], which: number, deed: number, bytes: number): void {
  const peer = peers[which % Math.max(1, peers.length)];
  if (peer === undefined || peer.state !== 'connected') return;
  switch (deed % 6) {
    case 0:
      peer.reset();
      break;
    case 1:
      peer.end();
      break;
    case 2:
      peer.close();
      break;
    case 3:
      peer.read(bytes * 64);
      break;
    case 4:
      peer.setReading(bytes % 2 === 0 ? 'manual' : 'fast');
      break;
    default:
      trySend(peer, bytes * 64);
  }
}

/** A peer that has ended its stream can't send: the simulation says so by an exception. */
function trySend(peer: SimulatedPeer, bytes: number): void {
  try {
    peer.send(new Uint8Array(bytes));
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes('has ended its stream')) throw error;
  }
}
