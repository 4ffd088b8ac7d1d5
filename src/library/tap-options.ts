/** The options of `openTap`, as a program gives them, made into what `sys/host-tap.ts` and `sys/host-tap-network.ts` take. Programs without types give anything. */
import {
  type IpAddress,
  type IpPrefix,
  type MacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '../base/address.ts';
import { failure, type Result } from '../base/result.ts';
import type { OffloadLevel, TapOptions } from '../sys/host-tap.ts';
import type { HostTapNetwork } from '../sys/host-tap-network.ts';
import type { OpenTapOptions, TapOffload } from './tap.ts';
import { orThrow } from './tapster-error.ts';

/** The names of the levels in `sys/host-tap.ts`. */
const LEVELS: Readonly<Record<TapOffload, OffloadLevel>> = { none: 'off', csum: 'checksum', gso: 'segmentation' };

/** What the kernel allows: ETH_MIN_MTU, and 65,535 bytes less the Ethernet header. */
const MTU_MIN = 68;
const MTU_MAX = 65_521;

const ID_MAX = 0xffff_fffe;

interface Check {
  readonly expected: string;
  readonly holds: (value: unknown) => boolean;
}

const TEXT: Check = { expected: 'a string', holds: (value) => typeof value === 'string' };
const TEXTS: Check = {
  expected: 'an array of strings',
  holds: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
};
const BOOLEAN: Check = { expected: 'true or false', holds: (value) => typeof value === 'boolean' };

const CHECKS: Readonly<Record<keyof OpenTapOptions, Check>> = {
  name: TEXT,
  mode: oneOf('tap', 'tun'),
  namespace: TEXT,
  queues: integer(1, 256),
  attach: BOOLEAN,
  persist: BOOLEAN,
  owner: integer(0, ID_MAX),
  group: integer(0, ID_MAX),
  offload: oneOf(...Object.keys(LEVELS)),
  mtu: integer(MTU_MIN, MTU_MAX),
  mac: TEXT,
  addresses: TEXTS,
  gateways: TEXTS,
  bridge: TEXT,
  up: BOOLEAN,
  signal: { expected: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
};

/** The parts of the options that belong to each step of opening. */
export interface ReadOptions {
  /** Without the namespace, which is opened first. */
  readonly tap: TapOptions;
  readonly network: HostTapNetwork;
}

/** Throws where a name or a value is none. */
export function readTapOptions(options: OpenTapOptions): ReadOptions {
  for (const [name, value] of Object.entries(options)) {
    const check = CHECKS[name as keyof OpenTapOptions];
    if (check === undefined) invalid(`there is no option ${name}: there are ${Object.keys(CHECKS).join(', ')}`);
    if (value !== undefined && !check.holds(value)) invalid(`${name} is ${check.expected}, not ${show(value)}`);
  }
  const { name, mode = 'tap', queues = 1, attach = false, persist = false, owner, group, offload = 'none' } = options;
  const { mtu, mac, bridge, up, addresses = [], gateways = [] } = options;
  return {
    tap: { name, mode, queues, attach, persist, owner, group, offloads: LEVELS[offload] },
    network: {
      ...{ mtu, bridge, mac: mac === undefined ? undefined : readMac(mac) },
      ...{ addresses: addresses.map(readPrefix), gateways: gateways.map(readGateway) },
      ...(up === undefined ? {} : { up }),
    },
  };
}

export function readOffload(offload: TapOffload): OffloadLevel {
  if (!CHECKS.offload.holds(offload)) invalid(`offload is ${CHECKS.offload.expected}, not ${show(offload)}`);
  return LEVELS[offload];
}

export function readMtu(mtu: number): number {
  if (!CHECKS.mtu.holds(mtu)) invalid(`mtu is ${CHECKS.mtu.expected}, not ${show(mtu)}`);
  return mtu;
}

export function readMac(text: string): MacAddress {
  return parseMacAddress(text) ?? invalid(`${show(text)} is no MAC address: give one like 02:00:00:00:00:01`);
}

export function readPrefix(text: string): IpPrefix {
  return (
    parseIpPrefix(text) ??
    invalid(`${show(text)} is no address with a prefix length: give one like 10.0.0.1/24 or fd00::1/64`)
  );
}

function readGateway(text: string): IpAddress {
  return parseIpAddress(text) ?? invalid(`${show(text)} is no gateway: give an address like 10.0.0.254 or fe80::1`);
}

function invalid(message: string): never {
  const result: Result<never> = failure('tap-option-invalid', message);
  return orThrow(result);
}

function show(value: unknown): string {
  return typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value));
}

function integer(least: number, most: number): Check {
  return {
    expected: `a whole number from ${least} to ${most}`,
    holds: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  };
}

function oneOf(...values: readonly string[]): Check {
  return {
    expected: values.map((each) => `'${each}'`).join(' or '),
    holds: (value) => values.includes(value as string),
  };
}
