/**
 * The command line of slirp4netns, read to a plain value.
 *
 * Options may stand anywhere, and of one that is given again the last counts. The plan of a network A/P is: A + 2 is the gateway and the host, A + 3 the name
 * server, A + 15 to A + 30 are handed out by DHCP, A + 100 is the namespace's own; so P is 25 at most. In IPv6 it is fd00::/64 with ::2 and ::3.
 *
 * Callers look for what a version can do in the text of `--help` (podman, rootlesskit), and at the first line of `--version`: its number is that of the
 * version whose options these are.
 */
import {
  type IpAddress,
  type IpPrefix,
  ipv4Address,
  isIpv4,
  type MacAddress,
  parseIpAddress,
} from '../../base/address.ts';
import { type Parsed, parsed, wrong } from '../parse/parsed.ts';
import { type CommandLine, formatHelp, mistaken, refused, wrongValue } from './command-line.ts';
import { readWords } from './getopt.ts';
import { flag, type OptionRow, one } from './option-row.ts';
import {
  PID_MAX,
  readDescriptorNumber,
  readHostInterface,
  readLaxMac,
  readPath,
  readSlirpNetwork,
  readSocketPath,
  readUnicast,
  readWhole,
} from './values.ts';

export interface Slirp4netnsOptions {
  readonly target: SlirpTarget;
  /** Undefined: that of the target. */
  readonly userNamespacePath: string | undefined;
  /** Undefined where the target is a descriptor or a socket. */
  readonly interfaceName: string | undefined;
  /** Whether to give the interface its address and bring it up. */
  readonly configure: boolean;
  /** Of the interface inside; only with `configure`. */
  readonly mac: MacAddress | undefined;
  readonly mtu: number;
  readonly ipv6: boolean;
  readonly network: IpPrefix;
  readonly plan: SlirpPlan;
  /** `1` is written here when it works, and it is closed. */
  readonly readyDescriptor: number | undefined;
  /** Any event here ends the program. */
  readonly exitDescriptor: number | undefined;
  readonly apiSocketPath: string | undefined;
  /** The host's 127.0.0.1 is at the gateway. */
  readonly hostLoopback: boolean;
  /** The host's name server is at `plan.dns`. */
  readonly dns: boolean;
  /** Or the name of an interface. */
  readonly outboundIpv4: IpAddress | string | undefined;
  readonly outboundIpv6: IpAddress | string | undefined;
}

export type SlirpTarget =
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'path'; readonly path: string }
  /** An open TAP device. */
  | { readonly kind: 'tap'; readonly descriptor: number }
  /** A SOCK_SEQPACKET socket to listen at, for User Mode Linux. */
  | { readonly kind: 'bess'; readonly path: string };

export interface SlirpPlan {
  readonly gateway: IpAddress;
  readonly dns: IpAddress;
  readonly dhcpFirst: IpAddress;
  readonly dhcpLast: IpAddress;
  readonly namespace: IpAddress;
}

type NetnsType = 'pid' | 'path' | 'tapfd';

type Draft = {
  -readonly [K in keyof Omit<Slirp4netnsOptions, 'target' | 'interfaceName' | 'plan'>]: Slirp4netnsOptions[K];
} & {
  netnsType: NetnsType | undefined;
  targetType: 'netns' | 'bess';
  readonly warnings: string[];
};

type SlirpOption = OptionRow<Draft>;

const PROGRAM = 'slirp4netns';
/** The version that has these options. */
const LEVEL = '1.2.0';
const MTU_MAX = 65_521;
const NETWORK: IpPrefix = { address: ipv4Address(0x0a000200), length: 24 };

const INTERFACE = 'Interface';
const NAMESPACES = 'Namespaces';
const REACHABILITY = 'Reachability';
const CONTROL = 'Control';
const ISOLATION = 'Isolation';
const OTHER = 'Other';

export const SLIRP_TABLE: readonly SlirpOption[] = [
  flag(INTERFACE, 'c', 'configure', 'give the interface its address and bring it up', { configure: true }),
  one(INTERFACE, 'm', 'mtu', 'MTU', '1 to 65521 (1500)', readMtu, 'mtu'),
  flag(INTERFACE, '6', 'enable-ipv6', 'IPv6 too: fd00::/64', { ipv6: true }),
  one(INTERFACE, '', 'cidr', 'CIDR', 'the network (10.0.2.0/24)', readSlirpNetwork, 'network'),
  one(INTERFACE, '', 'macaddress', 'MAC', 'of the interface; only with -c', readLaxMac, 'mac'),
  one(
    NAMESPACES,
    '',
    'netns-type',
    'TYPE',
    'what the first argument is: pid, path or tapfd (pid)',
    readNetnsType,
    'netnsType',
  ),
  one(NAMESPACES, '', 'userns-path', 'PATH', 'user namespace to join', readPath, 'userNamespacePath'),
  one(
    NAMESPACES,
    '',
    'target-type',
    'TYPE',
    'netns, or bess for User Mode Linux (netns)',
    readTargetType,
    'targetType',
  ),
  flag(REACHABILITY, '', 'disable-host-loopback', "the gateway is not the host's 127.0.0.1", { hostLoopback: false }),
  flag(REACHABILITY, '', 'disable-dns', "do not answer at the name server's address", { dns: false }),
  one(REACHABILITY, '', 'outbound-addr', 'ADDR|IF', 'bind IPv4 sockets to this', readOutbound4, 'outboundIpv4'),
  one(REACHABILITY, '', 'outbound-addr6', 'ADDR|IF', 'bind IPv6 sockets to this', readOutbound6, 'outboundIpv6'),
  one(CONTROL, 'e', 'exit-fd', 'FD', 'end when something happens here', readDescriptorNumber, 'exitDescriptor'),
  one(CONTROL, 'r', 'ready-fd', 'FD', 'write 1 here when it works', readDescriptorNumber, 'readyDescriptor'),
  one(CONTROL, 'a', 'api-socket', 'PATH', 'socket that takes forwards', readSocketPath, 'apiSocketPath'),
  // Every session is confined, and there is no way not to be.
  flag(ISOLATION, '', 'enable-sandbox', 'no effect: file system and rights are always given away', {}),
  flag(ISOLATION, '', 'enable-seccomp', 'no effect: system calls are always filtered', {}),
  outdated('no-host-loopback', 'disable-host-loopback', { hostLoopback: false }),
  outdated('create-sandbox', 'enable-sandbox', {}),
  flag(OTHER, 'h', 'help', 'show this help', {}),
  flag(OTHER, 'v', 'version', 'show the version', {}),
];

/** `version` is Tapster's. */
export function readSlirp4netnsCommandLine(args: readonly string[], version: string): CommandLine<Slirp4netnsOptions> {
  const draft = newDraft();
  const operands: string[] = [];
  for (const word of readWords(args, SLIRP_TABLE, 'anywhere')) {
    if (word.kind === 'mistake') return mistaken(PROGRAM, word.message);
    if (word.kind === 'operand') {
      operands.push(word.text);
      continue;
    }
    const { shape, value } = word;
    if (shape.long === 'help') return { kind: 'print', text: help() };
    if (shape.long === 'version') return { kind: 'print', text: `${PROGRAM} version ${LEVEL}\nTapster ${version}\n` };
    const wrong = shape.take(draft, value);
    if (wrong !== undefined) return wrongValue(PROGRAM, shape, value, wrong);
  }
  return finish(draft, operands);
}

function newDraft(): Draft {
  return {
    userNamespacePath: undefined,
    configure: false,
    mac: undefined,
    mtu: 1500,
    ipv6: false,
    network: NETWORK,
    readyDescriptor: undefined,
    exitDescriptor: undefined,
    apiSocketPath: undefined,
    hostLoopback: true,
    dns: true,
    outboundIpv4: undefined,
    outboundIpv6: undefined,
    netnsType: undefined,
    targetType: 'netns',
    warnings: [],
  };
}

function finish(draft: Draft, operands: readonly string[]): CommandLine<Slirp4netnsOptions> {
  const contradiction = contradictionIn(draft);
  if (contradiction !== undefined) return refused(PROGRAM, contradiction, 'Leave one of them out.');
  const target = readTarget(draft, operands[0]);
  if (!target.ok) return refused(PROGRAM, target.wrong, target.right);
  const hasInterface = target.value.kind === 'pid' || target.value.kind === 'path';
  const interfaceName = hasInterface ? readInterface(operands[1]) : parsed(undefined);
  if (!interfaceName.ok) return refused(PROGRAM, interfaceName.wrong, interfaceName.right);
  const { netnsType: _, targetType: __, warnings, ...plain } = draft;
  const left = operands.slice(2).map((text) => `"${text}" is one argument too many, and is left out`);
  return {
    kind: 'run',
    options: {
      ...plain,
      target: target.value,
      interfaceName: interfaceName.value,
      plan: planOf(draft.network.address),
    },
    warnings: [...warnings, ...left],
  };
}

function contradictionIn(draft: Draft): string | undefined {
  if (draft.mac !== undefined && !draft.configure) return '--macaddress without --configure: nobody would set it';
  if (draft.targetType === 'netns') return undefined;
  if (draft.configure) return '--configure with --target-type=bess: there is no interface';
  if (draft.netnsType !== undefined) return '--netns-type with --target-type=bess: there is no namespace';
  if (draft.userNamespacePath !== undefined) return '--userns-path with --target-type=bess: there is no namespace';
  return undefined;
}

function readTarget({ targetType, netnsType }: Draft, text: string | undefined): Parsed<SlirpTarget> {
  const right = `Try "${PROGRAM} --help".`;
  if (text === undefined || text === '') return wrong('PID or PATH is missing', right);
  if (targetType === 'bess') {
    const path = readSocketPath(text);
    return path.ok ? parsed({ kind: 'bess', path: path.value }) : wrong(`"${text}": ${path.wrong}`, path.right);
  }
  if (netnsType === 'path') return parsed({ kind: 'path', path: text });
  const [max, what] = netnsType === 'tapfd' ? [2_147_483_647, 'a descriptor'] : [PID_MAX, 'a PID'];
  const number = readWhole(text, netnsType === 'tapfd' ? 0 : 1, max, what);
  if (!number.ok) return wrong(`"${text}" is not ${what}: ${number.wrong}`, number.right);
  return parsed(netnsType === 'tapfd' ? { kind: 'tap', descriptor: number.value } : { kind: 'pid', pid: number.value });
}

function readInterface(text: string | undefined): Parsed<string> {
  if (text === undefined || text === '') return wrong('TAPNAME is missing', 'Name the interface, for example tap0.');
  const name = readHostInterface(text);
  return name.ok ? name : wrong(`TAPNAME "${text}": ${name.wrong}`, name.right);
}

function planOf(network: IpAddress): SlirpPlan {
  const at = (offset: number): IpAddress => ipv4Address((network.w3 + offset) | 0);
  return { gateway: at(2), dns: at(3), dhcpFirst: at(15), dhcpLast: at(30), namespace: at(100) };
}

function readNetnsType(text: string): Parsed<NetnsType> {
  if (text === 'pid' || text === 'path' || text === 'tapfd') return parsed(text);
  return wrong('not a type', 'Use pid, path or tapfd.');
}

function readTargetType(text: string): Parsed<'netns' | 'bess'> {
  return text === 'netns' || text === 'bess' ? parsed(text) : wrong('not a type', 'Use netns or bess.');
}

function readMtu(text: string): Parsed<number> {
  return readWhole(text, 1, MTU_MAX, 'a number of bytes');
}

function readOutbound4(text: string): Parsed<IpAddress | string> {
  return readOutbound(text, true);
}

function readOutbound6(text: string): Parsed<IpAddress | string> {
  return readOutbound(text, false);
}

function readOutbound(text: string, ipv4: boolean): Parsed<IpAddress | string> {
  if (parseIpAddress(text) === undefined) {
    const name = readHostInterface(text);
    return name.ok ? name : wrong(`neither an address nor an interface: ${name.wrong}`, name.right);
  }
  const address = readUnicast(text);
  if (!address.ok || isIpv4(address.value) === ipv4) return address;
  return wrong(`not an IPv${ipv4 ? 4 : 6} address`, `Use --outbound-addr${ipv4 ? '6' : ''} for it.`);
}

function help(): string {
  return formatHelp(
    [`${PROGRAM} [OPTION]... PID|PATH TAPNAME`],
    'Gives a network namespace a network, without privilege.',
    SLIRP_TABLE,
  );
}

function outdated(long: string, instead: string, fields: Partial<Draft>): SlirpOption {
  const option: SlirpOption = flag(OTHER, '', long, `deprecated: --${instead}`, fields);
  return {
    ...option,
    take: (draft, value) => {
      draft.warnings.push(`--${long} is deprecated, use --${instead}`);
      return option.take(draft, value);
    },
  };
}
