/** Traces, captures, counters, ping. */
import { FRAME_BYTES_MAX, PING_BYTES_MAX, PINGS_MAX, TRACE_PACKETS_MAX } from '../../../base/limits.ts';
import type { CaptureOptions, Clearable } from '../../../network/running-network.ts';
import { type Arguments, type Command, command } from '../command.ts';
import { captureEnded, captureStarted, captureTable } from '../render/captures.ts';
import { pingText } from '../render/ping.ts';
import { choice, options, optionsWith, pair, sequence, value, word } from '../syntax.ts';
import { ADDRESS, CAPTURE, FILE, INTERFACE, NEW_NAME, NODE, number, SECONDS } from '../value-types.ts';
import { FILTER_ARGUMENT, maybe } from './arguments.ts';
import { withoutUndefined } from './documents.ts';

const PACKETS_MAX = 1_000_000_000;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

const FILTER_OPTION = sequence(word('filter', 'only packets that this is true of'), FILTER_ARGUMENT);

export const LOOKING_COMMANDS: readonly Command[] = [
  command({
    path: 'trace add',
    help: 'record the way of the next packets that come to a node',
    syntax: sequence(
      value('node', 'NODE', NODE, 'as show node names lists them'),
      value('count', 'N', number(1, TRACE_PACKETS_MAX), 'packets'),
      maybe(FILTER_OPTION),
    ),
    run: (client, args) => client.addTrace(args.text('node'), args.number('count'), args.maybeText('filter')),
  }),
  clearCommand('interfaces', 'interfaces', "interfaces' counters"),
  clearCommand('runtime', 'runtime', 'what show runtime counts'),
  clearCommand('errors', 'errors', 'what show errors counts'),
  clearCommand('trace', 'trace', 'recorded ways, and what is asked for still'),
  clearCommand('l2fib', 'l2fib', 'stations that bridges have learnt'),
  clearCommand('neighbors', 'neighbours', 'neighbours that were learnt'),
  clearCommand('event-log', 'event-log', 'events'),
  command({
    path: 'pcap trace',
    help: 'write packets to a file in pcapng',
    syntax: optionsWith(
      [
        sequence(
          word('intfc', 'where'),
          choice(word('any', 'everywhere'), value('interface', 'IF', INTERFACE, 'an interface')),
        ),
        pair('file', 'F', FILE, 'a new file'),
      ],
      [
        word('rx', 'packets that come'),
        word('tx', 'packets that go'),
        pair('max', 'N', number(1, PACKETS_MAX), 'packets, then it ends'),
        pair('max-bytes', 'N', number(1, BYTES_MAX), "the file's size, then it ends"),
        pair('max-bytes-per-pkt', 'N', number(1, FRAME_BYTES_MAX), 'bytes kept of each'),
        pair('name', 'NAME', NEW_NAME, 'what it is called; left out: as the interface'),
        FILTER_OPTION,
      ],
    ),
    run: (client, args, { pathOf }) => client.startCapture(captureOf(args, pathOf)),
    render: captureStarted,
  }),
  command({
    path: 'pcap trace off',
    help: 'end a capture, or all',
    syntax: maybe(value('name', 'NAME', CAPTURE, 'the capture')),
    run: async (client, args) => {
      const name = args.maybeText('name');
      if (name !== undefined) return [await client.stopCapture(name)];
      const ended = [];
      for (const capture of await client.captures()) {
        if (capture.active) ended.push(await client.stopCapture(capture.name));
      }
      return ended;
    },
    render: captureEnded,
    toJson: (ended) => (ended.length === 1 ? ended[0] : ended),
  }),
  command({
    path: 'pcap trace status',
    help: 'captures, and how far they are',
    run: (client) => client.captures(),
    render: captureTable,
  }),
  command({
    path: 'ping',
    help: 'ask an address for an echo',
    syntax: sequence(
      value('address', 'ADDR', ADDRESS, 'whom'),
      options(
        pair('source', 'IF', INTERFACE, 'the interface to ask from, for link-local addresses'),
        pair('repeat', 'N', number(1, PINGS_MAX), 'how often (5)'),
        pair('size', 'N', number(0, PING_BYTES_MAX), 'bytes of data (56)'),
        pair('interval', 'S', SECONDS, 'seconds between two (1)'),
      ),
    ),
    run: (client, args) => {
      const interval = args.maybeNumber('interval');
      const wanted = {
        count: args.maybeNumber('repeat'),
        intervalMs: interval === undefined ? undefined : Math.round(interval * 1000),
        size: args.maybeNumber('size'),
        interface: args.maybeText('source'),
      };
      return client.ping({ address: args.text('address'), ...withoutUndefined(wanted) });
    },
    render: pingText,
  }),
];

function clearCommand(name: string, what: Clearable, help: string): Command {
  return command({ path: `clear ${name}`, help, run: (client) => client.clear(what), toJson: () => ({}) });
}

function captureOf(args: Arguments, pathOf: (file: string) => string): CaptureOptions {
  const directions = (['rx', 'tx'] as const).filter((direction) => args.has(direction));
  return {
    interface: args.maybeText('interface') ?? 'any',
    file: pathOf(args.text('file')),
    ...withoutUndefined({
      name: args.maybeText('name'),
      directions: directions.length === 0 ? undefined : directions,
      filter: args.maybeText('filter'),
      packetsMax: args.maybeNumber('max'),
      bytesMax: args.maybeNumber('max-bytes'),
      bytesPerPacketMax: args.maybeNumber('max-bytes-per-pkt'),
    }),
  };
}
