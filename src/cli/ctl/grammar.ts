/** All commands of `tapster ctl`, and the words that several of them begin with. */
import type { Command } from './command.ts';
import { FORWARDING_COMMANDS } from './commands/forwarding.ts';
import { INTERFACE_COMMANDS } from './commands/interface.ts';
import { LOOKING_COMMANDS } from './commands/looking.ts';
import { MACHINE_COMMANDS } from './commands/machine.ts';
import { PORT_COMMANDS } from './commands/ports.ts';
import { SESSION_COMMANDS } from './commands/session.ts';
import { SHOW_COMMANDS } from './commands/show.ts';
import { TAP_COMMANDS } from './commands/tap.ts';
import { Grammar } from './parser.ts';
import { synopsis } from './syntax.ts';

const GROUPS: Readonly<Record<string, string>> = {
  show: 'what the engine knows',
  'show interface': 'interfaces and their counters',
  'show ip': 'IPv4, and neighbours',
  'show ip6': 'IPv6',
  'show node': 'nodes of the graph',
  create: 'make something',
  delete: 'take something down',
  tap: "taps by the name of their kernel's side",
  set: 'change something',
  'set interface': 'change an interface',
  'set interface mac': 'MAC addresses',
  'set interface ip': 'IP addresses',
  'set interface l2': 'bridging',
  'set tap': 'change a tap',
  'set bridge-domain': 'change a bridge',
  'set ip': 'neighbours',
  forward: 'ports of the host that lead to an interface',
  ip: 'routes',
  'ip route': 'routes',
  trace: 'record the way of packets',
  clear: 'set counters to zero, forget what was learnt',
  pcap: 'write packets to files',
  'pcap trace': 'write packets to a file in pcapng, end that, ask about it',
};

/** Sections of the reference, in its order. */
export const SECTIONS: readonly (readonly [title: string, commands: readonly Command[]])[] = [
  ['Show', SHOW_COMMANDS],
  ['Taps', TAP_COMMANDS],
  ['Virtual machines', MACHINE_COMMANDS],
  ['Interfaces', INTERFACE_COMMANDS],
  ['Ports', PORT_COMMANDS],
  ['Bridges, routes, neighbours', FORWARDING_COMMANDS],
  ['Traces, captures, counters', LOOKING_COMMANDS],
  ['The session', SESSION_COMMANDS],
];

export const GRAMMAR: Grammar<Command> = new Grammar(
  SECTIONS.flatMap(([, commands]) => commands),
  GROUPS,
);

/** `create sub-interfaces IF VLAN`. */
export function usageOf({ path, syntax }: Command): string {
  return `${path} ${synopsis(syntax)}`.trimEnd();
}
