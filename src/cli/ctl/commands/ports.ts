/** Ports of the host that lead to whoever is behind an interface, by two names: `publish` is what the configuration calls them, `forward` what drop-ins do. */
import { formatPublish, parsePublish } from '../../../config/publish.ts';
import type { Client } from '../../../control/client.ts';
import type { ApplyView } from '../../../network/views.ts';
import { type Arguments, type Command, command } from '../command.ts';
import { type ForwardedPort, portTable } from '../render/ports.ts';
import { type Syntax, sequence, value } from '../syntax.ts';
import { RULE } from '../value-types.ts';
import { INTERFACE_ARGUMENT } from './arguments.ts';
import { configuredInterfaces, editList, listOf } from './edit.ts';

const RULE_ARGUMENT: Syntax = value('rule', 'RULE', RULE, '[ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp]');

export const PORT_COMMANDS: readonly Command[] = [
  command({
    path: 'publish',
    help: 'lead ports of the host to whoever is behind an interface',
    syntax: sequence(INTERFACE_ARGUMENT, RULE_ARGUMENT),
    run: (client, args) => change(client, args, false),
  }),
  command({
    path: 'unpublish',
    help: 'end that',
    syntax: sequence(INTERFACE_ARGUMENT, RULE_ARGUMENT),
    run: (client, args) => change(client, args, true),
  }),
  command({
    path: 'forward add',
    help: 'the same as publish',
    syntax: sequence(INTERFACE_ARGUMENT, RULE_ARGUMENT),
    run: (client, args) => change(client, args, false),
  }),
  command({
    path: 'forward del',
    help: 'the same as unpublish',
    syntax: sequence(INTERFACE_ARGUMENT, RULE_ARGUMENT),
    run: (client, args) => change(client, args, true),
  }),
  command({
    path: 'forward show',
    help: 'ports of the host that lead somewhere, as configured',
    run: (client) => forwardedPorts(client),
    render: portTable,
  }),
];

function change(client: Client, args: Arguments, remove: boolean): Promise<ApplyView> {
  return editList(client, args.text('interface'), { key: 'publish', entry: args.text('rule'), normal, remove });
}

/** Two texts of one rule are the same. */
function normal(text: string): string {
  const rule = parsePublish(text);
  return typeof rule === 'string' ? text : formatPublish(rule);
}

async function forwardedPorts(client: Client): Promise<ForwardedPort[]> {
  const { document } = await client.configuration();
  return [...configuredInterfaces(document)].flatMap(([name, config]) =>
    listOf(config, 'publish').map((rule) => ({ interface: name, rule: normal(rule) })),
  );
}
