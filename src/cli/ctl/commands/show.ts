/** `show ...`: what the engine knows, as a table or as the API's JSON. */
import { didYouMean } from '../../../base/spelling.ts';

import { type Command, CommandError, command } from '../command.ts';
import { captureTable } from '../render/captures.ts';
import { engineText } from '../render/engine.ts';
import { eventLines } from '../render/events.ts';
import { bridgeTable, flowTable, neighbourTable, routeTable, stationTable } from '../render/forwarding.ts';
import {
  addressTable,
  hardwareText,
  interfaceTable,
  interfaceText,
  placementTable,
  tapText,
} from '../render/interfaces.ts';
import { errorTable, nodeNames, runtimeTable, threadTable, traceText } from '../render/looking.ts';
import { choice, options, pair, type Syntax, sequence, value, word } from '../syntax.ts';
import { INTERFACE, number, PREFIX_OR_ADDRESS } from '../value-types.ts';
import { BRIDGE_ARGUMENT, INTERFACE_ARGUMENT, maybe, TAP_ARGUMENT } from './arguments.ts';

const LINES_MAX = 1_000_000;

const PROTOCOL: Syntax = sequence(
  word('protocol', 'only of this protocol'),
  choice(word('tcp', 'TCP'), word('udp', 'UDP'), word('icmp', 'ICMP echo'), word('icmpv6', 'ICMPv6 echo')),
);

export const SHOW_COMMANDS: readonly Command[] = [
  command({
    path: 'show version',
    help: 'the engine: version, process, what is not as configured',
    run: (client) => client.engine(),
    render: engineText,
  }),
  command({
    path: 'show interface',
    help: 'interfaces and their counters; all that is known of one',
    syntax: maybe(INTERFACE_ARGUMENT),
    run: async (client, args) => {
      const name = args.maybeText('interface');
      return name === undefined ? client.interfaces() : client.interface(name);
    },
    render: (answer, layout) =>
      Array.isArray(answer) ? interfaceTable(answer, layout) : interfaceText(answer, layout),
  }),
  command({
    path: 'show interface addr',
    help: 'our addresses',
    run: (client) => client.interfaces(),
    render: addressTable,
  }),
  command({
    path: 'show interface rx-placement',
    help: 'queues, and the workers that serve them',
    run: (client) => client.hardware(),
    render: placementTable,
  }),
  command({
    path: 'show hardware-interfaces',
    help: 'what is behind the interfaces',
    run: (client) => client.hardware(),
    render: hardwareText,
  }),
  command({
    path: 'show tap',
    help: "taps, with the kernel's side",
    syntax: maybe(TAP_ARGUMENT),
    run: async (client, args) => only(await client.taps(), args.maybeText('interface'), 'tap'),
    render: tapText,
  }),
  command({
    path: 'show bridge-domain',
    help: 'bridges and their members',
    syntax: maybe(BRIDGE_ARGUMENT),
    run: async (client, args) => only(await client.bridges(), args.maybeText('bridge'), 'bridge'),
    render: bridgeTable,
  }),
  command({
    path: 'show l2fib',
    help: 'stations that bridges know',
    syntax: maybe(BRIDGE_ARGUMENT),
    run: (client, args) => client.stations(args.maybeText('bridge')),
    render: stationTable,
  }),
  routeCommand('show ip fib', 'ipv4', 'IPv4 routes'),
  routeCommand('show ip6 fib', 'ipv6', 'IPv6 routes'),
  command({
    path: 'show ip neighbors',
    help: 'neighbours of both families',
    syntax: maybe(INTERFACE_ARGUMENT),
    run: (client, args) => client.neighbours(ofInterface(args.maybeText('interface'))),
    render: neighbourTable,
  }),
  command({
    path: 'show flows',
    help: 'conversations with the host, the newest first',
    syntax: options(
      pair('interface', 'IF', INTERFACE, 'only of this interface'),
      PROTOCOL,
      pair('limit', 'N', number(1, LINES_MAX), 'so many at most'),
    ),
    run: (client, args) => {
      const protocol = args.which('tcp', 'udp', 'icmp', 'icmpv6');
      const limit = args.maybeNumber('limit');
      return client.flows({
        ...ofInterface(args.maybeText('interface')),
        ...(protocol === undefined ? {} : { protocol }),
        ...(limit === undefined ? {} : { limit }),
      });
    },
    render: flowTable,
  }),
  command({
    path: 'show runtime',
    help: 'nodes: calls, packets, and what they cost',
    run: (client) => client.runtime(),
    render: runtimeTable,
  }),
  command({
    path: 'show errors',
    help: 'packets that were dropped, by node and reason',
    run: (client) => client.errors(),
    render: errorTable,
  }),
  command({
    path: 'show threads',
    help: 'workers, and the queues that they serve',
    run: (client) => client.threads(),
    render: threadTable,
  }),
  command({
    path: 'show event-log',
    help: 'what happened, the newest last',
    syntax: maybe(value('limit', 'N', number(1, LINES_MAX), 'the last so many')),
    run: (client, args) => client.eventLog(args.maybeNumber('limit')),
    render: eventLines,
  }),
  command({
    path: 'show trace',
    help: 'the recorded ways of packets',
    run: (client) => client.traces(),
    render: traceText,
  }),
  command({
    path: 'show pcap',
    help: 'captures, and how far they are',
    run: (client) => client.captures(),
    render: captureTable,
  }),
  command({
    path: 'show node names',
    help: 'nodes that packets can be traced at',
    run: (client) => client.nodes(),
    render: nodeNames,
  }),
  command({
    path: 'show configuration',
    help: 'what the engine was told to be, as a file for apply',
    run: async (client) => {
      const { configurationText } = await import('../render/configuration.ts');
      const { document } = await client.configuration();
      return { document, text: configurationText(document) };
    },
    render: ({ text }) => text,
    toJson: ({ document }) => document,
  }),
];

function routeCommand(path: string, family: 'ipv4' | 'ipv6', help: string): Command {
  return command({
    path,
    help: `${help}; those that cover a prefix or an address, or lie under it`,
    syntax: maybe(value('within', 'PREFIX', PREFIX_OR_ADDRESS, 'as 10.1.0.0/16 or 10.0.0.1')),
    run: (client, args) => {
      const within = args.maybeText('within');
      return client.routes(family, within === undefined ? {} : { within });
    },
    render: routeTable,
  });
}

function ofInterface(name: string | undefined): { interface?: string } {
  return name === undefined ? {} : { interface: name };
}

/** The API gives the list. */
function only<View extends { readonly name: string }>(
  views: readonly View[],
  name: string | undefined,
  what: string,
): readonly View[] {
  if (name === undefined) return views;
  const found = views.filter((each) => each.name === name);
  if (found.length > 0) return found;
  const names = views.map((each) => each.name);
  throw new CommandError(`there is no ${what} ${name}${didYouMean(name, names)}`);
}
