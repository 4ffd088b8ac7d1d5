/**
 * Frames into a whole running network, with changes of its configuration, time, faults of the host and deeds of the far ends between them. An input is parts with their lengths in
 * front; the first byte of a part says what it is:
 *
 * | byte   | part                                                                                                  |
 * | ------ | ----------------------------------------------------------------------------------------------------- |
 * | 0      | a frame: the device that it comes by, then it, virtio-net header in front; those behind one another come in one turn |
 * | 1      | changes of the configuration that are on from now on, or off again: their numbers                      |
 * | 2      | time: 2^n ms                                                                                          |
 * | 3      | faults of the host's calls: how often each                                                             |
 * | 4      | a far end does something: which, what, how many bytes                                                 |
 * | 5      | somebody calls a published port: which                                                                |
 * | 6      | the kernel's side of a tap goes: which; and can be made again                                         |
 * | 7      | a call to the kernel's side of a tap fails: the how manyeth from now on                               |
 * | 8      | guests answer no more, or again                                                                        |
 * | 9      | a capture begins to see all frames, or ends                                                            |
 * | 10     | writes to a device fail: which, how many times, with what                                              |
 * | others | a turn                                                                                                |
 */
import assert from 'node:assert/strict';
import { parseIpAddress } from '#tapster/base/address.js';
import type { Random } from '#tapster/base/random.js';
import { ERRNO } from '#tapster/sys/errno.js';
import { pick } from '../frames.ts';
import { CHANGES_COUNT, configOf, DEVICES } from '../network-config.ts';
import { networkFrame, repairNetworkFrame } from '../network-frames.ts';
import { NetworkRig } from '../network-rig.ts';
import { bulk, dhcpClients, train } from '../network-traffic.ts';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';
import { act, setFaults } from './engine.ts';

const FRAME = 0;
const CHANGE = 1;
const TIME = 2;
const FAULTS = 3;
const DEED = 4;
const CALL = 5;
const LOSS = 6;
const FAILURE = 7;
const SILENCE = 8;
const CAPTURE = 9;
const WRITES = 10;
const TURN = 11;
const PARTS_MAX = 40;

/** What an input has besides frames, the most likely first. */
const OTHERS: readonly number[] = [
  ...[CHANGE, CHANGE, CHANGE, CHANGE, TIME, TIME, TIME, TURN, TURN, TURN, CALL, CALL],
  ...[FAULTS, DEED, LOSS, FAILURE, SILENCE, CAPTURE, WRITES],
];
const WRITE_ERRORS: readonly number[] = [ERRNO.EAGAIN, ERRNO.ENOBUFS, ERRNO.EIO];

export const forwardingTarget: FuzzTarget = {
  name: 'forwarding',
  about:
    'frames into a running network that is changed meanwhile: each counted, none sent where it must not, nothing left',
  bytesMax: 16_384,
  millisecondsMax: 3000,
  generate: (random) => joinByLength(Array.from({ length: random.between(1, PARTS_MAX) }, () => parts(random)).flat()),
  split: splitByLength,
  join: joinByLength,
  repair: (bytes, random) => {
    if (bytes[0] === FRAME && bytes.length > 2) {
      repairNetworkFrame(bytes.subarray(2), random, bytes[1]! % DEVICES.length);
    }
  },
  run: (input) => run(input, new NetworkRig()),
};

/** The same with a planted bug, which must be found: bridges remember the stations behind members that have left. */
export const forwardingCanaryTarget: FuzzTarget = {
  ...forwardingTarget,
  name: 'forwarding-canary',
  about: 'a running network with a planted bug, which must be found',
  run: (input) => {
    const rig = new NetworkRig();
    rig.plane.forwarding.l2fib.removeAll = () => 0;
    return run(input, rig);
  },
};

function parts(random: Random): Uint8Array[] {
  if (random.chance(0.05)) return excursion(random);
  if (random.chance(0.8)) return [part(random)];
  const device = random.below(DEVICES.length);
  const make = pick(random, [train, bulk, bulk, dhcpClients]);
  const frames = [make(random, device)].flat();
  return frames.map((frame) => Uint8Array.of(FRAME, device, ...frame));
}

/** A change, frames, and the change back. */
function excursion(random: Random): Uint8Array[] {
  const change = Uint8Array.of(CHANGE, random.below(CHANGES_COUNT));
  const device = random.below(DEVICES.length);
  const frames = [...train(random, device), bulk(random, device), networkFrame(random, device)];
  return [change, ...frames.map((frame) => Uint8Array.of(FRAME, device, ...frame)), Uint8Array.of(TURN), change];
}

function part(random: Random): Uint8Array {
  const kind = random.chance(0.6) ? FRAME : pick(random, OTHERS);
  const device = random.below(DEVICES.length);
  if (kind === FRAME) return Uint8Array.of(FRAME, device, ...networkFrame(random, device));
  if (kind === CHANGE) {
    return Uint8Array.of(CHANGE, ...Array.from({ length: random.between(1, 3) }, () => random.below(CHANGES_COUNT)));
  }
  if (kind === TIME) return Uint8Array.of(TIME, random.below(18));
  if (kind === FAILURE) return Uint8Array.of(FAILURE, random.between(1, 6));
  return Uint8Array.of(kind, random.next(), random.next(), random.next());
}

async function run(input: Uint8Array, rig: NetworkRig): Promise<void> {
  const on: boolean[] = [];
  await rig.apply(configOf(on));
  // Or nothing of it would be tried.
  assert.equal(rig.configurator.revision, 1, 'the network is there');
  for (const [kind = TURN, ...data] of splitByLength(input)) {
    const [first = 0, second = 0, third = 0] = data;
    const device = DEVICES[first % DEVICES.length]!;
    if (kind === FRAME) {
      rig.send(device, Uint8Array.from(data.slice(1)));
      continue;
    }
    // Frames that have come meet the first step of a change.
    if (kind !== CHANGE) rig.settle();
    if (kind === CHANGE) {
      for (const each of data) on[each % CHANGES_COUNT] = on[each % CHANGES_COUNT] !== true;
      await rig.apply(configOf(on));
    } else if (kind === TIME) rig.wait(1000 * 2 ** (first % 18));
    else if (kind === FAULTS) setFaults(rig.sys, first, second, third);
    else if (kind === DEED) act(rig.sys.network.peers, first, second, third);
    else if (kind === CALL) call(rig, first, second);
    else if (kind === LOSS) rig.devices.get(device)?.failReads(ERRNO.EBADFD);
    else if (kind === SILENCE) rig.silent = !rig.silent;
    else if (kind === CAPTURE) rig.capture();
    else if (kind === WRITES) rig.devices.get(device)?.failWrites(WRITE_ERRORS[third % 3]!, 1 + (second % 4));
    else if (kind === FAILURE) rig.failsAt = 1 + (first % 8);
    await rig.mourn();
    rig.check();
  }
  rig.settle();
  rig.check();
  await rig.finish();
}

const CALLERS: readonly string[] = ['203.0.113.9', '127.0.0.1', '10.0.0.77'];

function call({ sys }: NetworkRig, which: number, from: number): void {
  const caller = { address: parseIpAddress(CALLERS[from % CALLERS.length]!)!, port: 4000 + (which >> 4), scope: 0 };
  const ours = parseIpAddress('192.0.2.1')!;
  if ((which & 1) === 0) sys.network.call({ address: ours, port: 8080 + ((which >> 1) & 1), scope: 0 }, caller);
  else sys.network.send(caller, { address: ours, port: 5353, scope: 0 }, Uint8Array.of(1, 2, 1, 0));
}
