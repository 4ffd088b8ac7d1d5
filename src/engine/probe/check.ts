/** What one look at the machine found: `tapster doctor` shows it. */
export interface Check {
  /** Stable, for programs: `tun-device`. */
  readonly id: string;
  /** For people: `TUN device`. */
  readonly title: string;
  /**
   * `ok`; `warning`: `tapster run` works, with less; `missing`: it does not work at all.
   * `info` states a fact that is neither.
   */
  readonly status: 'ok' | 'warning' | 'missing' | 'info';
  /** What was found, in a few words. */
  readonly found: string;
  /** What does not work as it is; absent when all is well. */
  readonly without?: string;
  /** A command that repairs it, to be run as root where it says so; absent when there is none. */
  readonly fix?: string;
}

/** A look at the machine. It changes nothing that outlives it, and does not throw. */
export type Probe = () => Check | Promise<Check>;
