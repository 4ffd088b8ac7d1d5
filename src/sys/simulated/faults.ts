/**
 * What goes wrong in the simulated system without anybody's doing, drawn from the seed: each call kind has a probability for each kind
 * of fault. All are off unless asked for.
 *
 * A fault is one that the kernel may really produce, so it also keeps the kernel's promise: after an EAGAIN or a short write, readiness is
 * signalled anew (`FAULT_PASSES_US` later), or whoever waits for an edge would wait for ever.
 */
import type { Random } from '../../base/random.ts';
import { ERRNO } from '../errno.ts';

export type FaultyCall =
  | 'socket'
  | 'connect'
  | 'accept'
  | 'pollControl'
  | 'peek'
  | 'discard'
  | 'receive'
  | 'sendVector'
  | 'splice'
  | 'receiveDatagrams'
  | 'sendDatagrams'
  | 'readFrames'
  | 'writeFrames';

/** Probabilities from 0 to 1. */
export interface FaultOdds {
  /** -EAGAIN although there was something, or room. */
  readonly again?: number;
  /** Less is taken or given than could be. */
  readonly short?: number;
  /** -ENOBUFS. */
  readonly noBuffers?: number;
  /** -ENOMEM. */
  readonly noMemory?: number;
  /** -EMFILE, for calls that make a descriptor. */
  readonly noDescriptors?: number;
}

export type FaultPlan = { readonly [call in FaultyCall]?: FaultOdds };

/** How long a passing shortage lasts. */
export const FAULT_PASSES_US = 500;

export class Faults {
  /** May be replaced at any time. */
  plan: FaultPlan;
  /** How many were injected. */
  count = 0;
  readonly #random: Random;

  constructor(plan: FaultPlan, random: Random) {
    this.plan = plan;
    this.#random = random;
  }

  /** -errno when this call is to fail, otherwise 0. */
  fail(call: FaultyCall): number {
    const odds = this.plan[call];
    if (odds === undefined) return 0;
    const errno = this.#errno(odds);
    if (errno !== 0) this.count++;
    return -errno;
  }

  /** How much of `count` (bytes, frames or datagrams) this call handles: all of it, or at least 1. */
  shorten(call: FaultyCall, count: number): number {
    const odds = this.plan[call];
    if (odds?.short === undefined || count <= 1 || !this.#random.chance(odds.short)) return count;
    this.count++;
    return this.#random.between(1, count - 1);
  }

  #errno(odds: FaultOdds): number {
    if (this.#random.chance(odds.again ?? 0)) return ERRNO.EAGAIN;
    if (this.#random.chance(odds.noBuffers ?? 0)) return ERRNO.ENOBUFS;
    if (this.#random.chance(odds.noMemory ?? 0)) return ERRNO.ENOMEM;
    if (this.#random.chance(odds.noDescriptors ?? 0)) return ERRNO.EMFILE;
    return 0;
  }
}
