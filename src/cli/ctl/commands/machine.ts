/** Interfaces that virtual machines are plugged into: made and deleted. */
import { VHOST_USER_PAIRS_MAX } from '../../../base/limits.ts';
import type { ConfigDocument } from '../../../control/client.ts';
import { type Arguments, type Command, command } from '../command.ts';
import { optionsWith, pair, type Syntax, sequence, value } from '../syntax.ts';
import { FILE, MAC, NEW_NAME, number } from '../value-types.ts';
import { INTERFACE_ARGUMENT } from './arguments.ts';
import { TELLS_NAME } from './created.ts';
import { withoutUndefined } from './documents.ts';

const SOCKET: Syntax = pair('socket', 'PATH', FILE, 'where to listen for a machine');
const PEER: Syntax = pair('peer', 'PATH', FILE, "where the machine's side is");
const MAC_ADDRESS: Syntax = pair('hw-addr', 'MAC', MAC, 'our MAC address; left out: drawn');
const QUEUES: Syntax = pair('queues', 'N', number(1, VHOST_USER_PAIRS_MAX), 'pairs of queues that it may use (1)');

export const MACHINE_COMMANDS: readonly Command[] = [
  createCommand("a machine by QEMU's -netdev stream", 'stream', [MAC_ADDRESS], (_args, socket) => ({
    stream: { socket },
  })),
  deleteCommand('stream'),
  createCommand(
    "a machine by QEMU's -netdev dgram",
    'datagram',
    [MAC_ADDRESS],
    (args, socket, pathOf) => ({ datagram: { socket, peer: pathOf(args.text('peer')) } }),
    [PEER],
  ),
  deleteCommand('datagram'),
  createCommand("a machine by QEMU's -netdev vhost-user", 'vhost-user', [QUEUES, MAC_ADDRESS], (args, socket) => ({
    vhostUser: withoutUndefined({ socket, queues: args.maybeNumber('queues') }),
  })),
  deleteCommand('vhost-user'),
];

function createCommand(
  what: string,
  kind: string,
  options: readonly Syntax[],
  documentOf: (args: Arguments, socket: string, pathOf: (path: string) => string) => ConfigDocument,
  needed: readonly Syntax[] = [],
): Command {
  return command({
    path: `create ${kind}`,
    help: `make an interface for ${what}, and say what it is called`,
    syntax: sequence(value('name', 'NAME', NEW_NAME, 'what it is called'), optionsWith([SOCKET, ...needed], options)),
    run: async (client, args, { pathOf }) => {
      const name = args.text('name');
      const document = withoutUndefined({
        ...documentOf(args, pathOf(args.text('socket')), pathOf),
        mac: args.maybeText('hw-addr'),
      });
      return { name, applied: await client.createInterface(name, document) };
    },
    ...TELLS_NAME,
  });
}

function deleteCommand(kind: string): Command {
  return command({
    path: `delete ${kind}`,
    help: 'take such an interface down, and its socket',
    syntax: INTERFACE_ARGUMENT,
    run: (client, args) => client.deleteInterface(args.text('interface')),
  });
}
