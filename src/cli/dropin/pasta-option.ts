/** What the rows of `pasta-table.ts` are made of: the value while its options are read, and how one of them changes it. */
import { type IpAddress, isIpv4 } from '../../base/address.ts';
import { DROPIN_NAMES_MAX } from '../../base/limits.ts';
import { parseDnsAddress } from '../parse/address.ts';
import { type Parsed, type Wrong, wrong } from '../parse/parsed.ts';
import type { ForwardCollector } from './forward-spec.ts';
import { flag, type OptionRow, row } from './option-row.ts';
import type { FamilyPair, Namespace, PastaOptions, PastaProgram, VirtualMachine } from './pasta-options.ts';
import { readDescriptorNumber, readDomain, readGuestAddress, readGuestSide, readHostInterface } from './values.ts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Direction = 'tcpIn' | 'udpIn' | 'tcpOut' | 'udpOut';

/** The value while its options are read. */
export interface PastaDraft extends Mutable<Omit<PastaOptions, Direction | 'udpInFollowsTcp' | 'guest'>> {
  /** A collector for each direction that has an option. */
  readonly forwards: { readonly newCollector: () => ForwardCollector } & Record<
    Direction,
    ForwardCollector | undefined
  >;
  /** The IPv4 address came with a length. */
  prefixGiven: boolean;
  readonly virtualMachine: Mutable<VirtualMachine>;
  readonly namespace: Mutable<Omit<Namespace, 'kind' | 'target' | 'userNamespace'>>;
  netns: string | undefined;
  userns: string | undefined;
  netnsOnly: boolean;
  readonly warnings: string[];
}

export interface PastaOption extends OptionRow<PastaDraft> {
  readonly only?: PastaProgram;
}

export const NO_ADDRESSES: FamilyPair<never> = { ipv4: undefined, ipv6: undefined };

export const ADDRESSES = 'Addresses of the guest';
export const SERVICES = 'Protocols and mappings';
const PORTS = 'Port forwarding';

/** An address; the last one of each family counts. */
export function pair(
  group: string,
  short: string,
  long: string,
  value: string,
  about: string,
  read: (text: string) => Parsed<IpAddress>,
  key: 'gateways' | 'outboundAddresses' | 'dnsForward' | 'dnsHosts',
): PastaOption {
  return {
    ...row(group, short, long, value, about),
    take: (draft, text) => {
      const result = read(text);
      if (!result.ok) return result;
      draft[key] = { ...draft[key], [familyOf(result.value)]: result.value };
      return undefined;
    },
  };
}

export function service(
  long: string,
  about: string,
  key: 'tcp' | 'udp' | 'icmp' | 'dhcp' | 'dhcpv6' | 'ndp' | 'ra',
): PastaOption {
  return flag(SERVICES, '', long, about, { [key]: false });
}

export function ports(short: string, long: string, about: string, key: Direction): PastaOption {
  return {
    ...row(PORTS, short, long, 'SPEC', about),
    take: ({ forwards }, value) => {
      const collector = forwards[key] ?? forwards.newCollector();
      const result = collector.add(value);
      if (!result.ok) return result;
      forwards[key] = collector;
      return undefined;
    },
  };
}

/** Of pasta alone. */
export function inside(option: PastaOption): PastaOption {
  return { ...option, only: 'pasta' };
}

/** The same, where it is about the namespace. */
export function ofNamespace(option: OptionRow<PastaDraft['namespace']>): PastaOption {
  return { ...option, only: 'pasta', take: (draft, value) => option.take(draft.namespace, value) };
}

/** Of passt alone. */
export function ofMachine(option: OptionRow<PastaDraft['virtualMachine']>): PastaOption {
  return { ...option, only: 'passt', take: (draft, value) => option.take(draft.virtualMachine, value) };
}

/** Still does what it did. */
export function outdated(option: PastaOption): PastaOption {
  return {
    ...option,
    take: (draft, value) => {
      draft.warnings.push(`--${option.long} is deprecated`);
      return option.take(draft, value);
    },
  };
}

export function takeAddress(draft: PastaDraft, text: string): Wrong | undefined {
  const result = readGuestAddress(text);
  if (!result.ok) return result;
  const family = familyOf(result.value.address);
  draft.addresses = { ...draft.addresses, [family]: result.value };
  if (family === 'ipv4') draft.prefixGiven = result.value.prefixLength !== undefined;
  return undefined;
}

export function takeDns(draft: PastaDraft, text: string): Wrong | undefined {
  if (text === 'none') {
    draft.dns = [];
    return undefined;
  }
  const result = parseDnsAddress(text);
  if (!result.ok) return result;
  const earlier = draft.dns === 'host' ? [] : draft.dns;
  if (earlier.length === DROPIN_NAMES_MAX) return tooMany();
  draft.dns = [...earlier, result.value];
  return undefined;
}

export function takeSearch(draft: PastaDraft, text: string): Wrong | undefined {
  if (text === 'none') {
    draft.search = [];
    return undefined;
  }
  const domains: string[] = draft.search === 'host' ? [] : [...draft.search];
  const words = text.split(' ').filter((word) => word !== '');
  if (words.length === 0) return wrong('no domain', 'Use domains with spaces between them, or none.');
  for (const word of words) {
    const result = readDomain(word);
    if (!result.ok) return result;
    domains.push(result.value);
  }
  if (domains.length > DROPIN_NAMES_MAX) return tooMany();
  draft.search = domains;
  return undefined;
}

export function outboundInterface(long: string, about: string, family: 'ipv4' | 'ipv6'): PastaOption {
  return {
    ...row(ADDRESSES, '', long, 'NAME', about),
    take: (draft, text) => {
      const result = readHostInterface(text);
      if (!result.ok) return result;
      draft.outboundInterfaces = { ...draft.outboundInterfaces, [family]: result.value };
      return undefined;
    },
  };
}

/** A machine that is connected already is the only one. */
export function takeConnected(machine: PastaDraft['virtualMachine'], text: string): Wrong | undefined {
  const result = readDescriptorNumber(text);
  if (!result.ok) return result;
  machine.descriptor = result.value;
  machine.oneOff = true;
  return undefined;
}

/** `none` takes back what was mapped before. */
export function takeMapping(
  text: string,
  earlier: FamilyPair<IpAddress>,
  set: (mapping: FamilyPair<IpAddress>) => void,
): Wrong | undefined {
  if (text === 'none') {
    set(NO_ADDRESSES);
    return undefined;
  }
  const result = readGuestSide(text);
  if (!result.ok) return result;
  set({ ...earlier, [familyOf(result.value)]: result.value });
  return undefined;
}

function tooMany(): Wrong {
  return wrong(`more than ${DROPIN_NAMES_MAX} of them`, 'Leave some out.');
}

function familyOf(address: IpAddress): 'ipv4' | 'ipv6' {
  return isIpv4(address) ? 'ipv4' : 'ipv6';
}
