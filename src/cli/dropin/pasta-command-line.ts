/**
 * The command lines of pasta and passt, read. How each option is written and what it changes: `pasta-table.ts`; the value: `pasta-options.ts`.
 *
 * Of options that are given again the last one counts, also where two switch the same thing (`--quiet` and `--debug`, `-4` and `-6`): callers put
 * what a user wishes behind what they have by themselves. Lists grow (`-D`, `-S`, ports), and `none` empties them. What is given for a family that is off stays in the value, without effect: podman names its IPv4 addresses with `-6`
 * too.
 *
 * Nothing here asks the machine: whether files, users, interfaces and namespaces are there, and whether the engine can do it, is judged by who runs it.
 */
import { MacAddress } from '../../base/address.ts';
import { AUTO_FORWARDS, type ForwardSpec, NO_FORWARDS } from '../../engine/forward-rules.ts';
import { type CommandLine, formatHelp, mistaken, refused, wrongValue } from './command-line.ts';
import { ForwardCollector } from './forward-spec.ts';
import { readWords } from './getopt.ts';
import { NO_ADDRESSES, type PastaDraft } from './pasta-option.ts';
import type {
  Namespace,
  NamespaceTarget,
  PastaOptions,
  PastaProgram,
  UserNamespace,
  VirtualMachine,
} from './pasta-options.ts';
import { PASTA_TABLE } from './pasta-table.ts';
import { PID_MAX, readWhole } from './values.ts';

/** Locally administered, and the same for all. */
const OUR_MAC = new MacAddress(0x9a55, 0x9a559a55 | 0);
const NETNS_FOLDER = '/run/netns';
/** What QEMU's vhost-user backends answer with (docs/interop/vhost-user.json): what kind they are. */
const CAPABILITIES = '{\n  "type": "net"\n}\n';

/** `version` is Tapster's. */
export function readPastaCommandLine(
  program: PastaProgram,
  args: readonly string[],
  version: string,
): CommandLine<PastaOptions> {
  const draft = newDraft(program);
  const operands: string[] = [];
  for (const word of readWords(args, PASTA_TABLE, 'command')) {
    if (word.kind === 'mistake') return mistaken(program, word.message);
    if (word.kind === 'operand') {
      operands.push(word.text);
      continue;
    }
    const { shape, value } = word;
    if (shape.only !== undefined && shape.only !== program) {
      return refused(program, `--${shape.long} is for ${shape.only} only`, `Leave it out, or start ${shape.only}.`);
    }
    if (shape.long === 'help') return { kind: 'print', text: helpOf(program) };
    if (shape.long === 'version') return { kind: 'print', text: `${program} ${version} (Tapster)\n` };
    if (shape.long === 'print-capabilities') return { kind: 'print', text: CAPABILITIES };
    const wrong = shape.take(draft, value);
    if (wrong !== undefined) return wrongValue(program, shape, value, wrong);
  }
  return finish(draft, operands);
}

function helpOf(program: PastaProgram): string {
  const rows = PASTA_TABLE.filter(({ only }) => only === undefined || only === program);
  return program === 'passt'
    ? formatHelp(['passt [OPTION]...'], 'Gives a virtual machine a network, through a socket.', rows)
    : formatHelp(
        ['pasta [OPTION]... [COMMAND [ARG]...]', 'pasta [OPTION]... PID', 'pasta [OPTION]... --netns PATH|NAME'],
        'Gives a network namespace a network: a new one with a command or shell, or one that is there.',
        rows,
      );
}

function newDraft(program: PastaProgram): PastaDraft {
  const none = NO_ADDRESSES;
  const follows = program === 'pasta';
  const collector = (): ForwardCollector => new ForwardCollector(follows);
  return {
    program,
    verbosity: 'normal',
    foreground: false,
    logPath: undefined,
    logBytesMax: 1_048_576,
    statsSeconds: undefined,
    runAs: undefined,
    controlPath: undefined,
    pcapPath: undefined,
    pidPath: undefined,
    chrootFallback: false,
    families: 'both',
    mtu: 65_520,
    addresses: none,
    netmaskLength: undefined,
    gateways: none,
    mac: OUR_MAC,
    interfaceName: undefined,
    outboundAddresses: none,
    outboundInterfaces: none,
    hostname: undefined,
    fqdn: undefined,
    dns: 'host',
    search: 'host',
    dhcpDns: !follows,
    dhcpSearch: !follows,
    dnsForward: none,
    dnsHosts: none,
    tcp: true,
    udp: true,
    icmp: true,
    dhcp: true,
    dhcpv6: true,
    ndp: true,
    ra: true,
    freebind: false,
    hostLoopback: 'gateway',
    guestAddressAtHost: none,
    forwards: { newCollector: collector, tcpIn: undefined, udpIn: undefined, tcpOut: undefined, udpOut: undefined },
    prefixGiven: false,
    virtualMachine: {
      kind: 'virtual-machine',
      socketPath: undefined,
      descriptor: undefined,
      oneOff: false,
      vhostUser: false,
      repairPath: undefined,
      migrateExit: false,
      migrateNoLinger: false,
    },
    namespace: {
      interfaceName: undefined,
      mac: undefined,
      configure: false,
      copyAddresses: true,
      copyRoutes: true,
      endsWithPath: true,
      splice: true,
      spliceOnly: false,
      hostLoopbackToNamespaceLoopback: false,
    },
    netns: undefined,
    userns: undefined,
    netnsOnly: false,
    warnings: [],
  };
}

function finish(draft: PastaDraft, operands: readonly string[]): CommandLine<PastaOptions> {
  const contradiction = contradictionIn(draft, operands);
  if (contradiction !== undefined) return refused(draft.program, contradiction[0], contradiction[1]);
  const { forwards, prefixGiven: _, virtualMachine, namespace, netns, userns, netnsOnly, warnings, ...plain } = draft;
  const specOf = (collector: ForwardCollector | undefined): ForwardSpec =>
    collector?.finish() ?? (draft.program === 'pasta' ? AUTO_FORWARDS : NO_FORWARDS);
  const target = targetOf(netns, operands);
  const guest: VirtualMachine | Namespace =
    draft.program === 'passt'
      ? virtualMachine
      : { ...namespace, kind: 'namespace', target, userNamespace: userNamespaceOf(target, userns, netnsOnly) };
  const options: PastaOptions = {
    ...plain,
    ndp: plain.ndp && plain.icmp,
    tcpIn: specOf(forwards.tcpIn),
    udpIn: specOf(forwards.udpIn),
    udpInFollowsTcp: forwards.udpIn === undefined,
    tcpOut: specOf(forwards.tcpOut),
    udpOut: specOf(forwards.udpOut),
    guest,
  };
  return { kind: 'run', options, warnings };
}

/** What is wrong, and what would be right. */
function contradictionIn(draft: PastaDraft, operands: readonly string[]): [string, string] | undefined {
  const { virtualMachine, namespace } = draft;
  const [operand] = operands;
  if (draft.netmaskLength !== undefined && draft.prefixGiven) {
    return ['-n with -a ADDRESS/LENGTH: the length of the network is given twice', 'Leave -n or the length out.'];
  }
  if (draft.program === 'passt') {
    if (operand !== undefined) return [`"${operand}" is not an option`, 'passt takes options only.'];
    if (virtualMachine.descriptor !== undefined && virtualMachine.socketPath !== undefined) {
      return ['--fd with --socket: one is connected, the other waits for a connection', 'Leave one of them out.'];
    }
    return undefined;
  }
  if (draft.netns !== undefined && operand !== undefined) {
    return [`--netns ${draft.netns} with "${operand}": the namespace is given twice`, 'Leave one of them out.'];
  }
  if (draft.netnsOnly && draft.userns !== undefined) {
    return ['--netns-only with --userns: neither and one to join', 'Leave one of them out.'];
  }
  if (namespace.spliceOnly && !namespace.splice) {
    return ['--splice-only with --no-splice leaves no way for packets', 'Leave one of them out.'];
  }
  const pid =
    operands.length === 1 && /^\d+$/.test(operand ?? '') ? readWhole(operand ?? '', 1, PID_MAX, 'a PID') : undefined;
  return pid?.ok === false ? [`PID ${operand}: ${pid.wrong}`, pid.right] : undefined;
}

function targetOf(netns: string | undefined, operands: readonly string[]): NamespaceTarget {
  if (netns !== undefined) return { kind: 'path', path: netns.includes('/') ? netns : `${NETNS_FOLDER}/${netns}` };
  const [operand = ''] = operands;
  if (operands.length === 1 && /^\d+$/.test(operand)) return { kind: 'pid', pid: Number(operand) };
  return { kind: 'new', command: operands };
}

function userNamespaceOf(target: NamespaceTarget, userns: string | undefined, netnsOnly: boolean): UserNamespace {
  if (userns !== undefined) return { kind: 'path', path: userns };
  if (netnsOnly || target.kind === 'path') return { kind: 'none' };
  return target.kind === 'pid' ? { kind: 'of-target' } : { kind: 'new' };
}
