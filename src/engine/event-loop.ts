/**
 * Drives an engine from Node's event loop: the engine's poll set is itself watched, and a turn runs whenever it is readable.
 *
 * Turns follow each other as long as there is work, but for at most `BUSY_US` at a stretch: then timers and streams of the rest of the program have
 * their chance, and the turns go on from `setImmediate`.
 */
import type { ProcessFunctions, WatchHandle } from '../sys/linux.ts';
import type { Sys } from '../sys/sys.ts';
import type { Engine } from './engine.ts';

const BUSY_US = 2000;

export class EventLoop {
  readonly #sys: Sys & ProcessFunctions;
  readonly #engine: Engine;
  readonly #fatal: (error: unknown) => void;
  #watch: WatchHandle;
  #immediate: NodeJS.Immediate | undefined;

  /** Starts at once. `fatal` hears of a bug of ours that ended a turn: the engine does not go on then. */
  constructor(sys: Sys & ProcessFunctions, engine: Engine, fatal: (error: unknown) => void) {
    this.#sys = sys;
    this.#engine = engine;
    this.#fatal = fatal;
    this.#watch = sys.watchReadable(engine.poll, this.#run);
    this.#run();
  }

  stop(): void {
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    if (this.#watch > 0) this.#sys.unwatch(this.#watch);
    this.#watch = 0;
  }

  readonly #run = (): void => {
    this.#immediate = undefined;
    try {
      const until = this.#sys.nowUs() + BUSY_US;
      while (this.#engine.turn()) {
        if (this.#sys.nowUs() < until) continue;
        this.#immediate = setImmediate(this.#run);
        return;
      }
    } catch (error) {
      this.stop();
      this.#fatal(error);
    }
  };
}
