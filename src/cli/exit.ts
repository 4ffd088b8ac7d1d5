/** Exit statuses. `run` passes the command's own on; the others follow env(1), nohup(1) and the shells. */
export const EXIT = {
  success: 0,
  /** `doctor`: this machine can't do what `run` needs. */
  unfit: 1,
  /** `ctl`, `up`, `apply`, `down`: the engine said no, can't be made, or is not there. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Tapster itself failed. */
  failed: 125,
  /** The command was found and can't be executed. */
  notExecutable: 126,
  /** The command was not found. */
  notFound: 127,
  /** By Ctrl-C, as shells tell it: 128 and the signal's number. */
  interrupted: 130,
} as const;
