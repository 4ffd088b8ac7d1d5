/**
 * Drives an engine from Node's event loop: the engine's poll set is itself watched, and a turn runs whenever it is readable.
 *
 * Turns follow each other as long as there is work, but for at most `BUSY_US` at a stretch: then timers and streams of the rest of the program have
 * their chance, and the turns go on from `setImmediate`. Before the loop sleeps, a turn may ask for more for a moment (`active-wait.ts`).
 */
import { errnoName } from '../sys/errno.ts';
import type { ProcessFunctions, WatchHandle } from '../sys/linux.ts';
import type { Sys } from '../sys/sys.ts';
import { ActiveWait } from './active-wait.ts';

const BUSY_US = 2000;

/** What is driven. */
export interface Driven {
  /** Readable when there is something to do. */
  readonly poll: number;
  /** Asks for up to `spinUs` before it finds that there is nothing to do. Returns whether there is more to do at once. */
  turn(spinUs: number): boolean;
  /** Whether nothing was ready in the last turn. */
  readonly idle: boolean;
}

export class EventLoop {
  readonly #sys: Pick<Sys & ProcessFunctions, 'nowUs' | 'watchReadable' | 'unwatch'>;
  readonly #engine: Driven;
  readonly #fatal: (error: unknown) => void;
  #watch: WatchHandle;
  #immediate: NodeJS.Immediate | undefined;
  readonly #activeWait: ActiveWait = new ActiveWait();
  /** When the poll set had nothing more, and the loop was left to sleep; 0: it was not. */
  #asleepSinceUs: number = 0;
  #stopped: boolean = false;

  /** Starts at once. `fatal` hears of a bug of ours that ended a turn, or that there is no watching: the engine does not go on then. */
  constructor(
    sys: Pick<Sys & ProcessFunctions, 'nowUs' | 'watchReadable' | 'unwatch'>,
    engine: Driven,
    fatal: (error: unknown) => void,
  ) {
    this.#sys = sys;
    this.#engine = engine;
    this.#fatal = fatal;
    this.#watch = sys.watchReadable(engine.poll, this.#run);
    if (this.#watch > 0) this.#run();
    else this.#fail(new Error(`the poll set can't be watched: ${errnoName(this.#watch)}`));
  }

  stop(): void {
    this.#stopped = true;
    clearImmediate(this.#immediate);
    if (this.#watch > 0) this.#sys.unwatch(this.#watch);
    this.#watch = 0;
  }

  readonly #run = (): void => {
    if (this.#stopped) return;
    // The watch may come before the immediate that was asked for: then this is the stretch that it stood for.
    clearImmediate(this.#immediate);
    try {
      this.#stretch();
    } catch (error) {
      this.#fail(error);
    }
  };

  #stretch(): void {
    const startUs = this.#sys.nowUs();
    if (this.#asleepSinceUs > 0) this.#activeWait.woke(startUs - this.#asleepSinceUs);
    this.#asleepSinceUs = 0;
    let more = this.#engine.turn(0);
    for (;;) {
      const spinUs = more ? 0 : this.#activeWait.spinUs;
      if (!more && spinUs === 0) break;
      if (this.#sys.nowUs() - startUs >= BUSY_US) {
        this.#immediate = setImmediate(this.#run);
        return;
      }
      more = this.#engine.turn(spinUs);
      if (spinUs === 0) continue;
      this.#activeWait.asked(!this.#engine.idle);
      if (this.#engine.idle && !more) break;
    }
    this.#asleepSinceUs = this.#sys.nowUs();
  }

  #fail(error: unknown): void {
    this.stop();
    this.#fatal(error);
  }
}
