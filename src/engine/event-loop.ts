/**
 * Drives an engine from Node's event loop: the engine's poll set is itself watched, and a turn runs whenever it is readable.
 *
 * Turns follow each other as long as there is work, but for at most `BUSY_US` at a stretch: then timers and streams of the rest of the program have
 * their chance, and the turns go on from `setImmediate`. What happens when there is no more work is the mode's affair, which may change at any time:
 *
 * | mode      | nothing is ready                                                                                                             |
 * | --------- | ---------------------------------------------------------------------------------------------------------------------------- |
 * | interrupt | the loop sleeps until it is woken                                                                                              |
 * | adaptive  | a turn asks on for a moment where that has helped lately, then the loop sleeps (`active-wait.ts`)                              |
 * | polling   | turns ask on for `POLL_US` each, and the rest of the program has its chance between two; the loop never sleeps: one processor is ours |
 *
 * All queues are in one poll set, so the mode of the loop is the strongest that one of them has: `strongestMode`.
 */
import { errnoName } from '../sys/errno.ts';
import type { ProcessFunctions, WatchHandle } from '../sys/linux.ts';
import type { Sys } from '../sys/sys.ts';
import { ActiveWait } from './active-wait.ts';

const BUSY_US = 2000;
/** How long the rest of the program may have to wait where all that we do is to ask. Long enough that its turn, some microseconds, does not count. */
const POLL_US = 200;

/** How frames are waited for; names as in VPP's `set interface rx-mode`. */
export type RxMode = 'polling' | 'interrupt' | 'adaptive';

/** Of several queues that are waited for together: polling before adaptive before interrupt, which is also for none at all. */
export function strongestMode(modes: Iterable<RxMode>): RxMode {
  let strongest: RxMode = 'interrupt';
  for (const mode of modes) {
    if (mode === 'polling') return mode;
    if (mode === 'adaptive') strongest = mode;
  }
  return strongest;
}

/** What is driven. */
export interface Driven {
  /** Readable when there is something to do. */
  readonly poll: number;
  /** Asks for up to `spinUs` before it finds that there is nothing to do. Returns whether there is more to do at once. */
  turn(spinUs: number): boolean;
  /** Whether nothing was ready in the last turn. */
  readonly idle: boolean;
  /** Bytes that were carried from and to those who take long to answer, since the beginning. */
  readonly distantBytes: number;
}

export class EventLoop {
  readonly #sys: Pick<Sys & ProcessFunctions, 'nowUs' | 'watchReadable' | 'unwatch'>;
  readonly #engine: Driven;
  readonly #fatal: (error: unknown) => void;
  #watch: WatchHandle;
  #immediate: NodeJS.Immediate | undefined;
  #mode: RxMode;
  readonly #activeWait: ActiveWait = new ActiveWait();
  /** When the poll set had nothing more, and the loop was left to sleep; 0: it was not. */
  #asleepSinceUs: number = 0;
  #stopped: boolean = false;

  /** Starts at once. `fatal` hears of a bug of ours that ended a turn, or that there is no watching: the engine does not go on then. */
  constructor(
    sys: Pick<Sys & ProcessFunctions, 'nowUs' | 'watchReadable' | 'unwatch'>,
    engine: Driven,
    fatal: (error: unknown) => void,
    mode: RxMode = 'adaptive',
  ) {
    this.#sys = sys;
    this.#mode = mode;
    this.#engine = engine;
    this.#fatal = fatal;
    this.#watch = sys.watchReadable(engine.poll, this.#run);
    if (this.#watch > 0) this.#run();
    else this.#fail(new Error(`the poll set can't be watched: ${errnoName(this.#watch)}`));
  }

  get mode(): RxMode {
    return this.#mode;
  }

  /** Holds from the next turn on; a loop that sleeps and is to poll is woken. */
  set mode(mode: RxMode) {
    this.#mode = mode;
    if (mode !== 'polling' || this.#asleepSinceUs === 0) return;
    // Nothing came: the sleep tells nothing of how soon something does.
    this.#asleepSinceUs = 0;
    this.#goOnLater();
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
      const nowUs = this.#sys.nowUs();
      const spinUs = more ? 0 : this.#spinUs(nowUs);
      if (!more && spinUs === 0) break;
      if (nowUs - startUs >= BUSY_US) {
        this.#goOnLater();
        return;
      }
      more = this.#engine.turn(spinUs);
      if (spinUs === 0) continue;
      const isIdle = this.#engine.idle;
      if (this.#mode === 'adaptive') this.#activeWait.asked(!isIdle);
      if (isIdle && !more) break;
    }
    if (this.#mode === 'polling') this.#goOnLater();
    else this.#asleepSinceUs = this.#sys.nowUs();
  }

  /** How long a turn may ask on, when there is nothing to do. */
  #spinUs(nowUs: number): number {
    switch (this.#mode) {
      case 'polling':
        return POLL_US;
      case 'adaptive':
        this.#activeWait.carried(this.#engine.distantBytes, nowUs);
        return this.#activeWait.spinUs;
      case 'interrupt':
        return 0;
    }
  }

  #goOnLater(): void {
    this.#immediate = setImmediate(this.#run);
  }

  #fail(error: unknown): void {
    this.stop();
    this.#fatal(error);
  }
}
