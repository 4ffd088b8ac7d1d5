/**
 * From the flags of `tapster run`, each read and judged alone, to the value that a session takes: defaults, and what does not go together.
 */
import { formatIpAddress, type IpAddress, type IpPrefix, isIpv4, type MacAddress } from '../base/address.ts';
import { FLOWS_MAX_DEFAULT, MTU_IPV6_MIN, MTU_MAX } from '../base/limits.ts';
import type { PublishRule, RunOptions } from '../engine/run-options.ts';
import { UsageError } from './usage-error.ts';

const INTERFACE_NAME_DEFAULT = 'eth0';

/** The options of the command line under the names that commander gives them. What was not given is missing. */
export interface RunFlags {
  readonly root?: true;
  readonly ifname?: string;
  readonly ipv4Only?: true;
  readonly ipv6Only?: true;
  readonly address?: readonly IpPrefix[];
  readonly gateway?: readonly IpAddress[];
  readonly mac?: MacAddress;
  readonly mtu?: number;
  readonly noConfig?: true;
  readonly dns?: readonly IpAddress[];
  readonly noDns?: true;
  readonly publish?: readonly PublishRule[];
  readonly hostLoopback?: 'gateway' | IpAddress;
  readonly allowMetadata?: true;
  readonly noTcp?: true;
  readonly noUdp?: true;
  readonly noIcmp?: true;
  readonly maxFlows?: number;
  readonly pcap?: string;
  readonly flows?: string;
  readonly summary?: true;
  readonly noSandbox?: true;
  readonly verbose?: true;
  readonly quiet?: true;
}

/** Throws a UsageError for flags that contradict each other. */
export function toRunOptions(command: readonly string[], flags: RunFlags): RunOptions {
  if (command[0] === '') throw new UsageError('the command is empty', 'Leave it out to get a shell.');
  checkPairs(flags);
  checkFamilies(flags);
  checkPublished(flags);
  return {
    command,
    root: flags.root ?? false,
    interfaceName: flags.ifname ?? INTERFACE_NAME_DEFAULT,
    families: flags.ipv4Only ? '4' : flags.ipv6Only ? '6' : 'both',
    addresses: flags.address ?? [],
    gateways: flags.gateway ?? [],
    mac: flags.mac,
    mtu: flags.mtu ?? MTU_MAX,
    configure: !flags.noConfig,
    dns: flags.noDns ? 'none' : (flags.dns ?? 'forward'),
    publish: flags.publish ?? [],
    hostLoopback: flags.hostLoopback,
    allowMetadata: flags.allowMetadata ?? false,
    tcp: !flags.noTcp,
    udp: !flags.noUdp,
    icmp: !flags.noIcmp,
    flowsMax: flags.maxFlows ?? FLOWS_MAX_DEFAULT,
    pcapPath: flags.pcap,
    flowsPath: flags.flows,
    summary: flags.summary ?? false,
    sandbox: !flags.noSandbox,
    verbosity: flags.verbose ? 'verbose' : flags.quiet ? 'quiet' : 'normal',
  };
}

function checkPairs(flags: RunFlags): void {
  if (flags.ipv4Only && flags.ipv6Only) {
    throw new UsageError('-4 with -6 leaves no family', 'Leave both out to have both families.');
  }
  if (flags.verbose && flags.quiet) throw new UsageError('-v with -q: both loud and silent', 'Leave one of them out.');
  if (flags.dns !== undefined && flags.noDns) {
    throw new UsageError(
      '--dns with --no-dns: one writes /etc/resolv.conf, the other leaves it alone',
      'Leave one of them out.',
    );
  }
  if (flags.pcap !== undefined && flags.pcap === flags.flows) {
    throw new UsageError(`--pcap and --flows both write "${flags.pcap}"`, 'Give each a file of its own.');
  }
}

function checkFamilies(flags: RunFlags): void {
  if (!flags.ipv4Only && flags.mtu !== undefined && flags.mtu < MTU_IPV6_MIN) {
    throw new UsageError(
      `--mtu ${flags.mtu}: IPv6 needs ${MTU_IPV6_MIN} at least (RFC 8200)`,
      `Use ${MTU_IPV6_MIN} or more, or -4 to do without IPv6.`,
    );
  }
  for (const { address } of flags.address ?? []) checkFamily(flags, '--address', address);
  for (const address of flags.gateway ?? []) checkFamily(flags, '--gateway', address);
  for (const address of flags.dns ?? []) checkFamily(flags, '--dns', address);
  for (const { address } of flags.publish ?? []) {
    if (address !== undefined) checkFamily(flags, '--publish', address);
  }
  if (flags.hostLoopback instanceof Object) checkFamily(flags, '--host-loopback', flags.hostLoopback);
  checkOneGatewayEach(flags.gateway ?? []);
}

function checkFamily(flags: RunFlags, option: string, address: IpAddress): void {
  const [off, family] = isIpv4(address) ? [flags.ipv6Only, 'IPv4'] : [flags.ipv4Only, 'IPv6'];
  if (!off) return;
  throw new UsageError(
    `${option} ${formatIpAddress(address)}: there is no ${family} with ${family === 'IPv4' ? '-6' : '-4'}`,
    'Use an address of the other family, or leave the flag out.',
  );
}

function checkOneGatewayEach(gateways: readonly IpAddress[]): void {
  for (const ipv4 of [true, false]) {
    const own = gateways.filter((gateway) => isIpv4(gateway) === ipv4);
    if (own.length > 1) {
      const text = own.map(formatIpAddress).join(' and ');
      throw new UsageError(`--gateway ${text}: two of one family`, 'Give one for IPv4 and one for IPv6 at most.');
    }
  }
}

function checkPublished(flags: RunFlags): void {
  const rules = flags.publish ?? [];
  for (const [i, rule] of rules.entries()) {
    if (rule.protocol === 'tcp' ? flags.noTcp : flags.noUdp) {
      const off = `--no-${rule.protocol}`;
      throw new UsageError(`--publish ${portsOf(rule)} with ${off}: nothing could come through`, `Leave ${off} out.`);
    }
    const clash = rules.slice(0, i).find((earlier) => overlap(earlier, rule));
    if (clash !== undefined) {
      throw new UsageError(
        `--publish ${portsOf(rule)}: ${portsOf(clash)} is published already`,
        'Publish each port of the host once.',
      );
    }
  }
}

function overlap(a: PublishRule, b: PublishRule): boolean {
  if (a.protocol !== b.protocol || a.firstPort === 0) return false;
  if (a.address !== undefined && b.address !== undefined && String(a.address) !== String(b.address)) return false;
  return a.firstPort <= b.lastPort && b.firstPort <= a.lastPort;
}

function portsOf(rule: PublishRule): string {
  const address = rule.address === undefined ? '' : isIpv4(rule.address) ? `${rule.address}:` : `[${rule.address}]:`;
  const last = rule.lastPort === rule.firstPort ? '' : `-${rule.lastPort}`;
  return `${address}${rule.firstPort}${last}/${rule.protocol}`;
}
