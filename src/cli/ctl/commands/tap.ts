/** Taps: made, changed and deleted with the words of VPP's `create tap`, and with those of its first driver, `tap connect`. */
import { MTU_MAX, MTU_MIN, TAP_ID_MAX, TAP_QUEUES_MAX } from '../../../base/limits.ts';
import type { Client, ConfigDocument } from '../../../control/client.ts';
import { type Arguments, type Command, CommandError, command } from '../command.ts';
import { choice, options, pair, refused, type Syntax, sequence, value, word } from '../syntax.ts';
import {
  IPV4,
  IPV4_AND_LENGTH,
  IPV6,
  IPV6_AND_LENGTH,
  MAC,
  NEW_NAME,
  number,
  RING_SIZE,
  TEXT,
} from '../value-types.ts';
import { TAP_ARGUMENT } from './arguments.ts';
import { TELLS_NAME } from './created.ts';
import { orUndefined, withoutUndefined } from './documents.ts';

const ID: Syntax = pair('id', 'N', number(0, TAP_ID_MAX), "the tap's number; left out: the lowest that is free");
const NO_RING = 'Rings are split ones here: leave it out.';

const CREATE_SYNTAX: Syntax = options(
  ID,
  pair('hw-addr', 'MAC', MAC, 'our MAC address; left out: drawn'),
  pair('if-name', 'NAME', NEW_NAME, 'what it is called here; left out: tap and the number'),
  pair('num-rx-queues', 'N', number(1, TAP_QUEUES_MAX), 'queues that we read'),
  pair('num-tx-queues', 'N', number(1, TAP_QUEUES_MAX), 'queues that we write: as many'),
  pair('rx-ring-size', 'N', RING_SIZE, 'entries of a vhost-net queue that we read (256)'),
  pair('tx-ring-size', 'N', RING_SIZE, 'entries of a vhost-net queue that we write (256)'),
  pair('host-ns', 'NS', TEXT, "namespace of the kernel's side: a name, a path or pid:N"),
  pair('host-bridge', 'BR', TEXT, "bridge of the kernel's that its side joins"),
  pair('host-ip4-addr', 'A/M', IPV4_AND_LENGTH, "IPv4 address of the kernel's side"),
  pair('host-ip6-addr', 'A/M', IPV6_AND_LENGTH, "IPv6 address of the kernel's side"),
  pair('host-ip4-gw', 'A', IPV4, 'IPv4 default route there'),
  pair('host-ip6-gw', 'A', IPV6, 'IPv6 default route there'),
  pair('host-mac-addr', 'MAC', MAC, "MAC address of the kernel's side"),
  pair('host-if-name', 'NAME', TEXT, "what the kernel's side is called; left out: tap and the number"),
  pair('host-mtu-size', 'N', number(MTU_MIN, MTU_MAX), "MTU of the kernel's side"),
  choice(
    word('no-gso', 'frames are whole and have their checksums'),
    sequence(
      word('gso', 'large segments cross uncut, checksums undone'),
      options(word('gro-coalesce', 'join segments before they are sent')),
    ),
    word('csum-offload', 'checksums are left undone'),
  ),
  word('persist', 'the kernel keeps it when the engine ends'),
  word('attach', 'it is there already: use it; needs host-if-name'),
  word('tun', 'IP packets, without Ethernet'),
  sequence(
    word('backend', 'how frames are moved'),
    choice(
      word('auto', 'vhost-net where it can be opened'),
      word('read-write', 'reading and writing'),
      word('vhost-net', 'queues shared with the kernel'),
    ),
  ),
  refused('packed', NO_RING),
  refused('in-order', NO_RING),
  refused('consistent-qp', 'Queues stay with their worker anyway: leave it out.'),
);

const HWADDR: Syntax = sequence(
  word('hwaddr', 'our MAC address'),
  choice(word('random', 'drawn'), value('mac', 'MAC', MAC, 'as 02:fe:00:00:00:01')),
);

const HOST_NAME: Syntax = value('host', 'NAME', TEXT, "what the kernel's side is called");

export const TAP_COMMANDS: readonly Command[] = [
  command({
    path: 'create tap',
    help: 'make a tap, and say what it is called',
    syntax: CREATE_SYNTAX,
    run: async (client, args) => {
      checkCreate(args);
      const id = args.maybeNumber('id') ?? (await lowestFreeId(client));
      const name = args.maybeText('if-name') ?? `tap${id}`;
      return { name, applied: await client.createInterface(name, interfaceOf(id, args)) };
    },
    ...TELLS_NAME,
  }),
  deleteCommand('delete tap'),
  command({
    path: 'tap connect',
    help: "make a tap by the name of its kernel's side, as tap-N",
    syntax: sequence(HOST_NAME, options(HWADDR, ID)),
    run: async (client, args) => {
      const id = args.maybeNumber('id') ?? (await lowestFreeId(client));
      const mac = args.maybeText('mac');
      const document = { tap: { id, host: { name: args.text('host') } }, ...(mac === undefined ? {} : { mac }) };
      const name = `tap-${id}`;
      return { name, applied: await client.createInterface(name, document) };
    },
    ...TELLS_NAME,
  }),
  command({
    path: 'tap modify',
    help: "connect a tap to another name of the kernel's",
    syntax: sequence(TAP_ARGUMENT, HOST_NAME, options(HWADDR)),
    run: (client, args) =>
      client.changeInterface(args.text('interface'), {
        tap: { host: { name: args.text('host') } },
        ...(args.has('hwaddr') ? { mac: args.maybeText('mac') ?? null } : {}),
      }),
  }),
  deleteCommand('tap delete'),
  command({
    path: 'set tap offload',
    help: 'change what is left to the other end',
    syntax: sequence(
      TAP_ARGUMENT,
      choice(
        word('gso-enable', 'segmentation and checksums'),
        word('gso-disable', 'nothing'),
        word('csum-offload-enable', 'checksums alone'),
        word('csum-offload-disable', 'nothing'),
      ),
    ),
    run: (client, args) => client.changeInterface(args.text('interface'), { tap: offloadOf(args) }),
  }),
];

function deleteCommand(path: string): Command {
  return command({
    path,
    help: 'take a tap down',
    syntax: TAP_ARGUMENT,
    run: (client, args) => client.deleteInterface(args.text('interface')),
  });
}

/** What the configuration would say too, in the words of this command. */
function checkCreate(args: Arguments): void {
  const address = args.which('host-ip4-addr', 'host-ip6-addr');
  if (address !== undefined && args.has('host-bridge')) {
    throw new CommandError(
      `${address} and host-bridge exclude each other`,
      'The bridge has the address: leave one out.',
    );
  }
  if (args.has('attach') && !args.has('host-if-name')) {
    throw new CommandError('attach: which tap is meant?', 'Add host-if-name NAME.');
  }
  const [rx, tx] = [args.maybeNumber('num-rx-queues'), args.maybeNumber('num-tx-queues')];
  if (rx !== undefined && tx !== undefined && rx !== tx) {
    throw new CommandError(
      `num-rx-queues ${rx} and num-tx-queues ${tx}: a queue of a tap goes both ways`,
      `Give ${Math.max(rx, tx)} for both, or one of them.`,
    );
  }
}

function interfaceOf(id: number, args: Arguments): ConfigDocument {
  const texts = (...names: readonly string[]): string[] => names.flatMap((name) => args.maybeText(name) ?? []);
  const host = withoutUndefined({
    name: args.maybeText('host-if-name'),
    namespace: args.maybeText('host-ns'),
    bridge: args.maybeText('host-bridge'),
    address: orUndefined(texts('host-ip4-addr', 'host-ip6-addr')),
    gateway: orUndefined(texts('host-ip4-gw', 'host-ip6-gw')),
    mac: args.maybeText('host-mac-addr'),
    mtu: args.maybeNumber('host-mtu-size'),
  });
  const ringSizes = withoutUndefined({ rx: args.maybeNumber('rx-ring-size'), tx: args.maybeNumber('tx-ring-size') });
  const tap = withoutUndefined({
    id,
    host: orUndefined(host),
    queues: args.maybeNumber('num-rx-queues') ?? args.maybeNumber('num-tx-queues'),
    ringSizes: orUndefined(ringSizes),
    offload: offloadWord(args),
    groCoalesce: args.has('gro-coalesce') || undefined,
    persist: args.has('persist') || undefined,
    attach: args.has('attach') || undefined,
    mode: args.which('tun'),
    backend: args.which('auto', 'read-write', 'vhost-net'),
  });
  return withoutUndefined({ tap, mac: args.maybeText('hw-addr') });
}

function offloadWord(args: Arguments): string | undefined {
  const word = args.which('no-gso', 'gso', 'csum-offload');
  return word === undefined ? undefined : { 'no-gso': 'none', gso: 'gso', 'csum-offload': 'csum' }[word];
}

/** Joining segments needs them: it goes with them. */
function offloadOf(args: Arguments): ConfigDocument {
  if (args.has('gso-enable')) return { offload: 'gso' };
  return { offload: args.has('csum-offload-enable') ? 'csum' : 'none', groCoalesce: false };
}

async function lowestFreeId(client: Client): Promise<number> {
  const { document } = await client.configuration();
  const entries = Object.entries((document['interfaces'] ?? {}) as Record<string, { tap?: { id?: number } }>);
  // Names count too: what is made is called by its number.
  const taken = new Set(entries.flatMap(([name, { tap }]) => [tap?.id, Number(/^tap-?(\d+)$/.exec(name)?.[1] ?? -1)]));
  for (const { id } of await client.taps()) taken.add(id);
  for (let id = 0; id <= TAP_ID_MAX; id++) if (!taken.has(id)) return id;
  throw new CommandError(`all ${TAP_ID_MAX + 1} numbers of taps are taken`, 'Delete one first.');
}
