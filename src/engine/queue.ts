/** A descriptor that frames come by: an interface has one for each of its queues. */
import type { PollHandler } from '../flow/poll-handler.ts';
import type { Link } from '../link/link.ts';
import type { InterfaceCounters } from './interface-output.ts';

export interface Queue extends PollHandler {
  /** `MANY_INTERFACES`: the link says of each packet which one it came in by, and has counted it. */
  readonly index: number;
  readonly link: Link;
  readonly fd: number;
  readonly token: number;
  readonly counters: InterfaceCounters;
  /** In the list of those that may have frames. */
  readable: boolean;
  /** It stays there: its descriptor does not tell of frames. */
  polled: boolean;
}

/** In place of an interface: a queue by which packets of several come. */
export const MANY_INTERFACES = -1;
