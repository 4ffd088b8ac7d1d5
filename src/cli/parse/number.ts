/** Whole numbers of options: decimal digits, no sign, no leading zero, within a range. */
import {
  FLOWS_MAX_HIGHEST,
  FLOWS_MAX_LOWEST,
  MTU_IPV6_MIN,
  MTU_MAX,
  MTU_MIN,
  VHOST_USER_PAIRS_MAX,
} from '../../base/limits.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

/** Whether the MTU fits the families is judged when those are known: see `run-options.ts`. */
export function parseMtu(text: string): Parsed<number> {
  return parseWhole(
    text,
    MTU_MIN,
    MTU_MAX,
    `Use a number of bytes from ${MTU_IPV6_MIN} (with -4: ${MTU_MIN}) to ${MTU_MAX}.`,
  );
}

export function parseMaxFlows(text: string): Parsed<number> {
  return parseWhole(
    text,
    FLOWS_MAX_LOWEST,
    FLOWS_MAX_HIGHEST,
    `Use a number of flows from ${FLOWS_MAX_LOWEST} to ${FLOWS_MAX_HIGHEST}.`,
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
