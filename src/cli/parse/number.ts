/** Whole numbers of options: decimal digits, no sign, no leading zero, within a range. */
import { VHOST_USER_PAIRS_MAX } from '../../base/limits.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

/** The smallest MTU that any IPv4 host must be able to receive (RFC 791, section 3.1). */
export const MTU_IPV4_MIN: number = 576;
/** The smallest MTU that IPv6 allows (RFC 8200, section 5). */
export const MTU_IPV6_MIN: number = 1280;
/** 65,535 of an IPv4 packet's length field, less what rounding down to 16 bytes leaves; what pasta and loopback-like links use. */
export const MTU_MAX: number = 65_520;
export const MTU_DEFAULT: number = 65_520;

export const MAX_FLOWS_MIN: number = 16;
/** A million flows take about 200 MB of columns and 2 million descriptors. */
export const MAX_FLOWS_MAX: number = 1_048_576;

/** Whether the MTU fits the families is judged when those are known: see `run-options.ts`. */
export function parseMtu(text: string): Parsed<number> {
  return parseWhole(
    text,
    MTU_IPV4_MIN,
    MTU_MAX,
    `Use a number of bytes from ${MTU_IPV6_MIN} (with -4: ${MTU_IPV4_MIN}) to ${MTU_MAX}.`,
  );
}

export function parseMaxFlows(text: string): Parsed<number> {
  return parseWhole(
    text,
    MAX_FLOWS_MIN,
    MAX_FLOWS_MAX,
    `Use a number of flows from ${MAX_FLOWS_MIN} to ${MAX_FLOWS_MAX}.`,
  );
}

export function parseQueues(text: string): Parsed<number> {
  return parseWhole(
    text,
    1,
    VHOST_USER_PAIRS_MAX,
    `Use a number of pairs of queues from 1 to ${VHOST_USER_PAIRS_MAX}.`,
  );
}

function parseWhole(text: string, min: number, max: number, right: string): Parsed<number> {
  if (!/^(0|[1-9][0-9]*)$/.test(text)) return wrong('not a whole number', right);
  const value = Number(text);
  if (value < min) return wrong(`below ${min}`, right);
  if (value > max) return wrong(`above ${max}`, right);
  return parsed(value);
}
