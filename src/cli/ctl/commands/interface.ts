/** `set interface ...`, and sub-interfaces. */
import { MTU_MAX, MTU_MIN, SPLIT_HORIZON_GROUP_MAX, TAP_QUEUES_MAX, WORKERS_MAX } from '../../../base/limits.ts';
import type { Client } from '../../../control/client.ts';
import { type Arguments, type Command, CommandError, command } from '../command.ts';
import { choice, optional, pair, type Syntax, sequence, value, word } from '../syntax.ts';
import { ADDRESS_AND_LENGTH, INTERFACE, MAC, number, SUB_INTERFACE } from '../value-types.ts';
import { BRIDGE_ARGUMENT, INTERFACE_ARGUMENT, TAP_ARGUMENT } from './arguments.ts';
import { TELLS_NAME } from './created.ts';
import { editInterface, editList } from './edit.ts';

const VLAN_MAX = 4094;

const ON_OFF: Syntax = choice(word('on', 'yes'), word('off', 'no'));
const DEVICE_ARGUMENT: Syntax = value('interface', 'IF', INTERFACE, 'a tap, or what a machine is plugged into');

export const INTERFACE_COMMANDS: readonly Command[] = [
  command({
    path: 'create sub-interfaces',
    help: 'make a VLAN sub-interface, and say what it is called',
    syntax: sequence(DEVICE_ARGUMENT, value('vlan', 'VLAN', number(1, VLAN_MAX), 'the 802.1Q number')),
    run: async (client, args) => {
      const name = `${args.text('interface')}.${args.number('vlan')}`;
      return { name, applied: await client.createInterface(name, {}) };
    },
    ...TELLS_NAME,
  }),
  command({
    path: 'delete sub-interface',
    help: 'take a VLAN sub-interface down',
    syntax: value('interface', 'IF.VLAN', SUB_INTERFACE, 'as tap0.100'),
    run: (client, args) => client.deleteInterface(args.text('interface')),
  }),
  command({
    path: 'set interface state',
    help: 'let it carry packets, or nothing',
    syntax: sequence(INTERFACE_ARGUMENT, choice(word('up', 'carries packets'), word('down', 'carries nothing'))),
    run: (client, args) => client.changeInterface(args.text('interface'), { up: args.has('up') }),
  }),
  command({
    path: 'set interface mtu',
    help: 'bytes of an IP packet, at most',
    syntax: sequence(value('mtu', 'N', number(MTU_MIN, MTU_MAX), 'bytes'), INTERFACE_ARGUMENT),
    run: (client, args) => client.changeInterface(args.text('interface'), { mtu: args.number('mtu') }),
  }),
  command({
    path: 'set interface mac address',
    help: 'our MAC address',
    syntax: sequence(INTERFACE_ARGUMENT, value('mac', 'MAC', MAC, 'as 02:fe:00:00:00:01')),
    run: (client, args) => client.changeInterface(args.text('interface'), { mac: args.text('mac') }),
  }),
  command({
    path: 'set interface promiscuous',
    help: 'take frames for any MAC address, or not',
    syntax: sequence(ON_OFF, INTERFACE_ARGUMENT),
    run: (client, args) => client.changeInterface(args.text('interface'), { promiscuous: args.has('on') }),
  }),
  command({
    path: 'set interface ip address',
    help: 'add an address of ours, or take one away',
    syntax: sequence(
      optional(word('del', 'take it away')),
      INTERFACE_ARGUMENT,
      value('address', 'A/P', ADDRESS_AND_LENGTH, 'as 10.0.0.1/24'),
    ),
    run: (client, args) => {
      const entry = args.text('address');
      const remove = args.has('del');
      return editList(client, args.text('interface'), { key: 'address', entry, normal: (text) => text, remove });
    },
  }),
  command({
    path: 'set interface l2 bridge',
    help: 'make it a member of a bridge, or our own leg in one',
    syntax: sequence(
      INTERFACE_ARGUMENT,
      BRIDGE_ARGUMENT,
      optional(word('bvi', 'our leg in the bridge: IF is bvi.BD')),
      optional(value('group', 'SHG', number(0, SPLIT_HORIZON_GROUP_MAX), 'split horizon group')),
    ),
    run: joinBridge,
  }),
  command({
    path: 'set interface l3',
    help: 'take it out of its bridge',
    syntax: INTERFACE_ARGUMENT,
    run: (client, args) => {
      const name = args.text('interface');
      const change = { bridge: null, splitHorizonGroup: null };
      return name.startsWith('bvi.') ? client.deleteInterface(name) : client.changeInterface(name, change);
    },
  }),
  command({
    path: 'set interface rx-mode',
    help: 'how its queues are read',
    syntax: sequence(
      INTERFACE_ARGUMENT,
      choice(
        word('polling', 'all the time'),
        word('interrupt', 'when frames are there'),
        word('adaptive', 'one or the other, by load'),
      ),
    ),
    run: (client, args) =>
      editInterface(client, args.text('interface'), ({ vhostUser }) => ({
        [vhostUser === undefined ? 'tap' : 'vhostUser']: { rxMode: args.which('polling', 'interrupt', 'adaptive') },
      })),
  }),
  command({
    path: 'set interface rx-placement',
    help: 'the worker that serves a queue',
    syntax: sequence(
      TAP_ARGUMENT,
      optional(pair('queue', 'N', number(0, TAP_QUEUES_MAX - 1), 'the queue (0)')),
      pair('worker', 'N', number(0, WORKERS_MAX - 1), 'as show threads counts them'),
    ),
    run: placeQueue,
  }),
];

function joinBridge(client: Client, args: Arguments): ReturnType<Client['changeInterface']> {
  const [name, bridge] = [args.text('interface'), args.text('bridge')];
  if (!args.has('bvi')) {
    return client.changeInterface(name, { bridge, splitHorizonGroup: args.maybeNumber('group') ?? 0 });
  }
  if (name !== `bvi.${bridge}`) {
    throw new CommandError(
      `${name} can't be our leg in bridge ${bridge}`,
      `That is called bvi.${bridge}, and made by this command.`,
    );
  }
  if (args.has('group')) throw new CommandError('our own leg is in no split horizon group', 'Leave the number out.');
  return client.createInterface(name, {});
}

/** The list of workers is by queue: those in front of it stay where they are. */
function placeQueue(client: Client, args: Arguments): ReturnType<Client['changeInterface']> {
  const name = args.text('interface');
  const queue = args.maybeNumber('queue') ?? 0;
  return editInterface(client, name, async (config) => {
    const tap = (config['tap'] ?? {}) as { readonly placement?: readonly number[] };
    const placement = [...(tap.placement ?? [])];
    const queues = (await client.hardware()).find((each) => each.name === name)?.queues ?? [];
    if (queues.length > 0 && queue >= queues.length) {
      throw new CommandError(`${name} has no queue ${queue}`, `It has ${queues.length}, counted from 0.`);
    }
    while (placement.length < queue) {
      placement.push(queues.find((each) => each.queue === placement.length)?.worker ?? 0);
    }
    placement[queue] = args.number('worker');
    return { tap: { placement } };
  });
}
