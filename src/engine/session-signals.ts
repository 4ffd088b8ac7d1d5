/**
 * The command as its parent sees it: signals go to it, its end comes from it.
 *
 * The command is in our process group, so what the terminal sends (Ctrl-C, Ctrl-\, a hang-up, a new window size) reaches it without us, and must not reach it
 * twice: only what another process sent to us with kill(2) is passed on. Stopping (Ctrl-Z) takes us and the command alike, by the kernel's default.
 *
 * While the command runs, an end is its own business: a shell or an interpreter lives on after Ctrl-C. What asks for an end counts when the command has died of it, or
 * comes when only its last bytes are on their way.
 */
import { constants } from 'node:os';
import type { LinuxSys, WatchHandle } from '../sys/linux.ts';
import type { CommandStatus, NamespaceChild } from '../sys/namespace.ts';
import { SignalReader, type SignalReaderSys } from './signal-reader.ts';

const { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGSTOP } = constants.signals;
const FORWARDED: readonly number[] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
/** Those that ask for an end. */
const ENDING: readonly number[] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
const STDIN_FD = 0;

export type SignalledChild = Pick<NamespaceChild, 'controlFd' | 'signal' | 'readStatus'>;

export type SignalSys = SignalReaderSys &
  Pick<LinuxSys, 'raise' | 'terminalForeground' | 'setTerminalForeground' | 'processGroup'>;

export class SessionSignals {
  readonly #sys: SignalSys;
  readonly #child: SignalledChild;
  readonly #signals: SignalReader;
  readonly #statusWatch: WatchHandle;
  readonly #foreground: number;
  readonly #ended: Promise<CommandStatus>;
  readonly #interrupted: Promise<void>;
  #reportEnd: (status: CommandStatus) => void = () => {};
  #interrupt: () => void = () => {};
  #hasEnded: boolean = false;
  /** Somebody asked for an end while the command ran. */
  #endWanted: boolean = false;

  constructor(sys: SignalSys, child: SignalledChild) {
    this.#sys = sys;
    this.#child = child;
    this.#foreground = sys.terminalForeground(STDIN_FD);
    this.#ended = new Promise((resolve) => {
      this.#reportEnd = resolve;
    });
    this.#interrupted = new Promise((resolve) => {
      this.#interrupt = resolve;
    });
    this.#signals = new SignalReader(sys, FORWARDED, this.#passOn);
    this.#statusWatch = sys.watchReadable(child.controlFd, this.#readStatus);
  }

  /** Resolves with how the command ended. */
  commandEnded(): Promise<CommandStatus> {
    return this.#ended;
  }

  /** Resolves when somebody, at the terminal or by kill(2), wants an end of what is left of the session. */
  interrupted(): Promise<void> {
    return this.#interrupted;
  }

  /** Gives signals, and the terminal, back to who had them before. */
  close(): void {
    if (!this.#hasEnded) this.#sys.unwatch(this.#statusWatch);
    this.#signals.close();
    // A shell inside had its own job in the foreground; nobody is left to take the terminal back.
    if (this.#foreground > 0 && this.#foreground === this.#sys.processGroup()) {
      if (this.#sys.terminalForeground(STDIN_FD) !== this.#foreground) {
        this.#sys.setTerminalForeground(STDIN_FD, this.#foreground);
      }
    }
  }

  readonly #passOn = (signal: number, fromTerminal: boolean): void => {
    if (!fromTerminal) this.#child.signal(signal);
    if (!ENDING.includes(signal)) return;
    this.#endWanted = true;
    if (this.#hasEnded) this.#interrupt();
  };

  readonly #readStatus = (): void => {
    const status = this.#child.readStatus();
    if (status === undefined) return;
    if (status.kind === 'stopped') {
      // A shell inside suspended itself: so do we, and whoever continues us continues it.
      this.#sys.raise(SIGSTOP);
      this.#child.signal(SIGCONT);
      return;
    }
    this.#sys.unwatch(this.#statusWatch);
    this.#hasEnded = true;
    if (this.#endWanted && status.kind === 'signalled') this.#interrupt();
    this.#reportEnd(status);
  };
}
