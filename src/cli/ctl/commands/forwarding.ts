/** Bridges, routes, neighbours, the uplink. */
import { NEXT_HOP_WEIGHT_MAX } from '../../../base/limits.ts';
import type { Client, RouteDocument } from '../../../control/client.ts';
import type { ApplyView } from '../../../network/views.ts';
import { type Arguments, type Command, CommandError, command } from '../command.ts';
import { choice, many, optional, options, pair, type Syntax, sequence, value, word } from '../syntax.ts';
import { ADDRESS, MAC, NEW_NAME, number, PREFIX, SECONDS } from '../value-types.ts';
import { BRIDGE_ARGUMENT, INTERFACE_ARGUMENT } from './arguments.ts';

const YES_NO = number(0, 1);

const TO: Syntax = value('to', 'PREFIX', PREFIX, 'as 10.1.0.0/16, or ::/0');

const HOP: Syntax = sequence(
  word('via', 'where it leads; several share its flows'),
  choice(
    sequence(value('address', 'ADDR', ADDRESS, 'a router'), optional(INTERFACE_ARGUMENT)),
    INTERFACE_ARGUMENT,
    word('uplink', 'sockets of the host'),
    word('drop', 'nowhere'),
  ),
  options(pair('weight', 'N', number(1, NEXT_HOP_WEIGHT_MAX), 'its share (1)')),
);

export const FORWARDING_COMMANDS: readonly Command[] = [
  command({
    path: 'create bridge-domain',
    help: 'make a learning bridge',
    syntax: sequence(
      value('bridge', 'NAME', NEW_NAME, 'what it is called'),
      options(
        pair('learn', '0|1', YES_NO, 'remember where stations are (1)'),
        pair('flood', '0|1', YES_NO, 'send to all what is for an unknown station (1)'),
        pair('ageing', 'SECONDS', SECONDS, 'a station silent for so long is forgotten (300); 0: never'),
      ),
    ),
    run: (client, args) =>
      client.createBridge(args.text('bridge'), {
        ...switched(args, 'learn'),
        ...switched(args, 'flood'),
        ...(args.has('ageing') ? { ageing: seconds(args.number('ageing')) } : {}),
      }),
    render: (_applied, _layout, args) => `${args.text('bridge')}\n`,
  }),
  command({
    path: 'delete bridge-domain',
    help: 'take a bridge down',
    syntax: BRIDGE_ARGUMENT,
    run: (client, args) => client.deleteBridge(args.text('bridge')),
  }),
  bridgeSwitch('learn', 'remember where stations are, or not'),
  bridgeSwitch('flood', 'send to all what is for an unknown station, or drop it'),
  command({
    path: 'set bridge-domain ageing',
    help: 'forget stations that are silent for so long',
    syntax: sequence(BRIDGE_ARGUMENT, value('seconds', 'SECONDS', SECONDS, '0: never')),
    run: (client, args) => client.changeBridge(args.text('bridge'), { ageing: seconds(args.number('seconds')) }),
  }),
  command({
    path: 'set uplink',
    help: 'turn packets routed to it into sockets of the host, or not',
    syntax: choice(word('host', 'sockets of the host'), word('off', 'no uplink')),
    run: (client, args) => client.setUplink(args.has('host') ? { translate: 'host' } : null),
  }),
  command({
    path: 'ip route add',
    help: 'add a route',
    syntax: sequence(TO, many(HOP)),
    run: (client, args) => client.addRoute(routeOf(args)),
  }),
  command({
    path: 'ip route del',
    help: 'take a route away, or some of where it leads',
    syntax: sequence(TO, optional(many(HOP))),
    run: (client, args) => (args.has('via') ? deleteHops(client, args) : client.deleteRoute(args.text('to'))),
  }),
  command({
    path: 'set ip neighbor',
    help: "give a neighbour's MAC address, or take it away",
    syntax: choice(
      sequence(word('del', 'take it away'), INTERFACE_ARGUMENT, neighbourAddress(), optional(neighbourMac())),
      sequence(INTERFACE_ARGUMENT, neighbourAddress(), neighbourMac()),
    ),
    run: setNeighbour,
  }),
];

function bridgeSwitch(key: 'learn' | 'flood', help: string): Command {
  return command({
    path: `set bridge-domain ${key}`,
    help,
    syntax: sequence(BRIDGE_ARGUMENT, choice(word('on', 'yes'), word('off', 'no'))),
    run: (client, args) => client.changeBridge(args.text('bridge'), { [key]: args.has('on') }),
  });
}

function switched(args: Arguments, key: string): Readonly<Record<string, boolean>> {
  const given = args.maybeNumber(key);
  return given === undefined ? {} : { [key]: given === 1 };
}

function seconds(count: number): string {
  return Number.isInteger(count) ? `${count}s` : `${Math.round(count * 1000)}ms`;
}

/** The route stays as long as it leads anywhere. */
async function deleteHops(client: Client, args: Arguments): Promise<ApplyView> {
  const { to, via } = routeOf(args);
  const { document, revision } = await client.configuration();
  const routes = (document['routes'] ?? []) as readonly RouteDocument[];
  const route = routes.find((each) => each.to === to);
  if (route === undefined) throw new CommandError(`there is no route to ${to}`);
  const hops = hopsOf(route.via);
  const going = hopsOf(via).map(hopText);
  for (const text of going) {
    if (!hops.some((hop) => hopText(hop) === text)) {
      throw new CommandError(
        `the route to ${to} does not lead via ${text}`,
        `It leads via ${hops.map(hopText).join(', ')}.`,
      );
    }
  }
  const left = hops.filter((hop) => !going.includes(hopText(hop)));
  if (left.length === 0) return client.deleteRoute(to, { ifRevision: revision });
  const changed = routes.map((each) => (each === route ? { to, via: left } : each));
  return client.putConfiguration({ ...document, routes: changed }, { ifRevision: revision });
}

type WrittenHop = string | { readonly via: string; readonly weight?: number };

function hopsOf(via: RouteDocument['via']): readonly WrittenHop[] {
  return typeof via === 'string' ? [via] : via;
}

function hopText(hop: WrittenHop): string {
  return typeof hop === 'string' ? hop : hop.via;
}

/** Each `via` begins a hop. */
function routeOf(args: Arguments): RouteDocument {
  const hops: { address?: string; interface?: string; word?: string; weight?: number }[] = [];
  for (const { name, value: given } of args.entries) {
    if (name === 'via') hops.push({});
    const hop = hops.at(-1);
    if (hop === undefined || (given === true && name !== 'uplink' && name !== 'drop')) continue;
    if (name === 'uplink' || name === 'drop') hop.word = name;
    else if (name === 'weight') hop.weight = Number(given);
    else if (name === 'address' || name === 'interface') hop[name] = String(given);
  }
  const written = hops.map((hop) => {
    const zone = hop.interface === undefined ? '' : `%${hop.interface}`;
    const via = hop.word ?? (hop.address === undefined ? hop.interface! : `${hop.address}${zone}`);
    return hop.weight === undefined ? via : { via, weight: hop.weight };
  });
  const [only] = written;
  return { to: args.text('to'), via: written.length === 1 && typeof only === 'string' ? only : written };
}

function neighbourAddress(): Syntax {
  return value('address', 'ADDR', ADDRESS, "the neighbour's address");
}

function neighbourMac(): Syntax {
  return value('mac', 'MAC', MAC, "the neighbour's MAC address");
}

function setNeighbour(client: Client, args: Arguments): ReturnType<Client['addNeighbour']> {
  const [name, address] = [args.text('interface'), args.text('address')];
  if (args.has('del')) return client.deleteNeighbour(name, address);
  return client.addNeighbour({ interface: name, address, mac: args.text('mac') });
}
