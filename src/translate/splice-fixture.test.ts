/** A poll set with its tokens, under a simulated system: what an engine's turn does for sockets that no flow owns. */
import type { PollHandler } from '../flow/poll-handler.ts';
import { type SimulatedOptions, SimulatedSys } from '../sys/simulated.ts';
import type { ForwardListenDeps } from './forward-listen.ts';
import type { SpliceTarget } from './splice-deps.ts';
import { ownSockets } from './splice-sockets.ts';

const EVENTS_MAX = 64;

export class SimulatedTurns {
  readonly sys: SimulatedSys;
  readonly deps: ForwardListenDeps;
  /** 198.51.100.7 stands for the other namespace's loopback. */
  readonly target: SpliceTarget;
  readonly handlers: Map<number, PollHandler> = new Map();
  readonly #clock: { nowUs: number } = { nowUs: 0 };
  readonly #events: Int32Array = new Int32Array(2 * EVENTS_MAX);
  #tokens: number = 0;

  constructor(options: SimulatedOptions = {}) {
    this.sys = new SimulatedSys(options);
    const tokens = {
      allocate: (handler: PollHandler): number => {
        this.handlers.set(--this.#tokens, handler);
        return this.#tokens;
      },
      release: (token: number): void => void this.handlers.delete(token),
      allocateRange: (handler: PollHandler, count: number): number => {
        const first = this.#tokens - 1;
        for (let i = 0; i < count; i++) this.handlers.set(--this.#tokens, handler);
        return first;
      },
      releaseRange: (first: number, count: number): void => {
        for (let i = 0; i < count; i++) this.handlers.delete(first - i);
      },
    };
    this.#clock.nowUs = this.sys.nowUs();
    this.deps = { sys: this.sys, poll: this.sys.pollCreate(), tokens, clock: this.#clock };
    this.target = { sockets: ownSockets(this.sys), address: Int32Array.of(0, 0, 0xffff, 0xc6336407 | 0) };
  }

  /** One turn after another, with `stepUs` between them. */
  run(turns: number, stepUs: number = 100): void {
    for (let turn = 0; turn < turns; turn++) {
      this.sys.advance(stepUs);
      this.#clock.nowUs = this.sys.nowUs();
      const count = this.sys.pollCollect(this.deps.poll, this.#events, EVENTS_MAX, 0);
      for (let i = 0; i < count; i++) {
        const token = this.#events[2 * i + 1]!;
        this.handlers.get(token)?.ready(this.#events[2 * i]!, token);
      }
    }
  }

  /** Turns until the condition holds. False: it never did. */
  runUntil(condition: () => boolean): boolean {
    for (let turn = 0; turn < 20_000 && !condition(); turn++) this.run(1);
    return condition();
  }
}
