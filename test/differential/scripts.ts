/** Scripts of segments and of what the application at the other end does, and where the two stacks are known to differ in answering them. */
import type { Segment } from './segment.ts';

/** What the application does: sends so many bytes, ends its half, or resets. */
export interface Deed {
  readonly app: 'send' | 'end' | 'reset';
  readonly bytes?: number;
}

export interface Script {
  readonly name: string;
  readonly steps: readonly (Segment | Deed)[];
  /** Steps that are answered differently, by their number, and why: in docs/differential.md with the same name. */
  readonly differs?: Readonly<
    Record<number, { readonly linux: readonly string[]; readonly tapster: readonly string[] }>
  >;
  /** Nobody listens there. */
  readonly refused?: boolean;
  /** A segment that comes again is an answer here, and not the clock's doing. */
  readonly repeats?: boolean;
}

const SYN: Segment = { flags: 'S', seq: 0 };
const OPEN: readonly Segment[] = [SYN, { flags: 'A', seq: 1, ack: 1 }];

export const SCRIPTS: readonly Script[] = [
  { name: 'data in order', steps: [...OPEN, data(1, 100), data(101, 1000), { flags: 'FA', seq: 1101, ack: 1 }] },
  { name: 'data twice', steps: [...OPEN, data(1, 100), data(1, 100)] },
  { name: 'a gap, then what was missing', steps: [...OPEN, data(101, 100), data(1, 100)] },
  {
    name: 'two gaps, filled backwards',
    steps: [...OPEN, data(301, 100), data(101, 100), data(201, 100), data(1, 100)],
  },
  { name: 'overlapping data', steps: [...OPEN, data(1, 100), data(51, 100), data(1, 300)] },
  { name: 'a FIN with data, and again', steps: [...OPEN, fin(1, 50), fin(1, 50), fin(51, 0)] },
  {
    name: 'a FIN ahead of a gap',
    differs: { 3: { linux: ['A 1 ack 102'], tapster: ['A 1 ack 101'] } },
    steps: [...OPEN, fin(101, 0), data(1, 100), fin(101, 0)],
  },
  {
    name: 'data behind a FIN',
    differs: { 3: { linux: [], tapster: ['A 1 ack 2'] } },
    steps: [...OPEN, fin(1, 0), data(2, 100)],
  },
  {
    name: 'half closed by the guest',
    steps: [...OPEN, fin(1, 0), { app: 'send', bytes: 300 }, ack(2, 301), { app: 'end' }, ack(2, 302)],
  },
  { name: 'half closed by the host', steps: [...OPEN, { app: 'end' }, ack(1, 2), data(1, 100, 2), fin(101, 0, 2)] },
  { name: 'data of the host', steps: [...OPEN, { app: 'send', bytes: 3000 }, ack(1, 1461), ack(1, 3001)] },
  {
    name: 'data of the host, zero window',
    steps: [...OPEN, ack(1, 1, 0), { app: 'send', bytes: 100 }, ack(1, 1, 60_000)],
  },
  { name: 'reset by the host', steps: [...OPEN, data(1, 10), { app: 'reset' }, data(11, 10)] },
  { name: 'RST with the exact number', steps: [...OPEN, data(1, 10), { flags: 'R', seq: 11 }, ack(11, 1)] },
  { name: 'RST inside the window', steps: [...OPEN, { flags: 'R', seq: 100 }, data(1, 10)] },
  {
    name: 'RST outside the window',
    steps: [...OPEN, { flags: 'R', seq: -10 }, { flags: 'R', seq: 3_000_000 }, data(1, 10)],
  },
  {
    name: 'a SYN in an open connection',
    steps: [...OPEN, { flags: 'S', seq: 1 }, { flags: 'S', seq: 5000 }, data(1, 10)],
  },
  { name: 'an acknowledgement of what was never sent', steps: [...OPEN, ack(1, 5000), data(1, 10)] },
  {
    name: 'an old acknowledgement',
    steps: [...OPEN, { app: 'send', bytes: 100 }, ack(1, 101), ack(1, 50), data(1, 10, 101)],
  },
  { name: 'data without ACK', steps: [...OPEN, { flags: '', seq: 1, bytes: 10 }, data(1, 10)] },
  { name: 'a keep-alive probe', steps: [...OPEN, data(1, 10), ack(10, 1)] },
  { name: 'data far beyond the window', steps: [...OPEN, data(3_000_000, 10)] },
  { name: 'SYN again before the handshake ends', steps: [SYN, SYN, { flags: 'A', seq: 1, ack: 1 }, data(1, 10)] },
  {
    name: 'a wrong acknowledgement of the SYN',
    steps: [SYN, { flags: 'A', seq: 1, ack: 77 }, { flags: 'A', seq: 1, ack: 1 }, data(1, 10)],
  },
  { name: 'data with the last segment of the handshake', steps: [SYN, data(1, 10)] },
  { name: 'RST during the handshake', steps: [SYN, { flags: 'R', seq: 1 }, { flags: 'A', seq: 1, ack: 1 }] },
  { name: 'nobody listens', refused: true, steps: [SYN] },
  {
    name: 'segments of no connection',
    differs: { 1: { linux: [], tapster: ['RA 0 ack 2'] }, 4: { linux: [], tapster: ['RA 0 ack 8'] } },
    steps: [
      { flags: 'A', seq: 1, ack: 5 },
      { flags: 'F', seq: 1 },
      { flags: 'SA', seq: 1, ack: 9 },
      { flags: 'R', seq: 1 },
      { flags: '', seq: 1, bytes: 7 },
    ],
  },
  {
    name: 'three duplicate acknowledgements',
    repeats: true,
    steps: [...OPEN, { app: 'send', bytes: 14_600 }, ack(1, 1461), ack(1, 1461), ack(1, 1461), ack(1, 1461)],
  },
];

function data(seq: number, bytes: number, acknowledges: number = 1): Segment {
  return { flags: 'A', seq, ack: acknowledges, bytes };
}

function fin(seq: number, bytes: number, acknowledges: number = 1): Segment {
  return { flags: 'FA', seq, ack: acknowledges, bytes };
}

function ack(seq: number, acknowledges: number, window: number = 60_000): Segment {
  return { flags: 'A', seq, ack: acknowledges, window };
}
