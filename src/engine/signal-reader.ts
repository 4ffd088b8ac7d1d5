/** Signals that come to this process, with who sent them. They have no other handlers meanwhile: see `native/signal.c`. */
import { type LinuxSys, SI_KERNEL, SIGNAL_RECORD_BYTES, type WatchHandle } from '../sys/linux.ts';

const RECORD_WORDS = SIGNAL_RECORD_BYTES / 4;
const RECORDS_PER_READ = 16;

export type SignalReaderSys = Pick<
  LinuxSys,
  'register' | 'unregister' | 'read' | 'watchReadable' | 'unwatch' | 'signalDescriptor' | 'signalRestore'
>;

/** `fromTerminal`: the kernel sent it to the whole foreground process group. */
export type OnSignal = (signal: number, fromTerminal: boolean) => void;

export class SignalReader {
  readonly #sys: SignalReaderSys;
  readonly #onSignal: OnSignal;
  readonly #records: Int32Array = new Int32Array(RECORD_WORDS * RECORDS_PER_READ);
  readonly #recordsMemory: number;
  readonly #fd: number;
  readonly #watch: WatchHandle;

  constructor(sys: SignalReaderSys, signals: readonly number[], onSignal: OnSignal) {
    this.#sys = sys;
    this.#onSignal = onSignal;
    this.#recordsMemory = sys.register(this.#records);
    this.#fd = sys.signalDescriptor(signals);
    this.#watch = sys.watchReadable(this.#fd, this.#read);
  }

  /** Gives the signals back to who had them before. */
  close(): void {
    this.#sys.unwatch(this.#watch);
    this.#sys.signalRestore();
    this.#sys.unregister(this.#recordsMemory);
  }

  readonly #read = (): void => {
    const bytes = this.#sys.read(this.#fd, this.#recordsMemory, 0, this.#records.byteLength);
    for (let at = 0; at * 4 + SIGNAL_RECORD_BYTES <= bytes; at += RECORD_WORDS) {
      this.#onSignal(this.#records[at]!, this.#records[at + 1] === SI_KERNEL);
    }
  };
}
