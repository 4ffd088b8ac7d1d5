/** Actions as lines for people, as `tapster apply --dry-run` prints them: `+ route 0.0.0.0/0 via uplink`, `~ interface tap0: mtu 1500 -> 9000`. */
import { formatIpPrefix } from '../base/address.ts';
import { formatHop } from './hop.ts';
import type { Contents, Part } from './parts.ts';
import type { Action } from './plan.ts';
import { formatPublish } from './publish.ts';
import { sameValue } from './same-value.ts';

export function describeAction(action: Action): string {
  switch (action.do) {
    case 'add':
      return `+ ${nameOf(action.part)}${detail(action.part.contents)}`;
    case 'remove':
      return `- ${nameOf(action.part)}`;
    case 'change':
      return `~ ${nameOf(action.part)}: ${differences(action.from.contents, action.part.contents, '').join(', ')}`;
  }
}

function nameOf({ key, contents }: Part): string {
  return contents.kind === 'up' ? `up ${contents.interface}` : key;
}

function detail(contents: Contents): string {
  switch (contents.kind) {
    case 'tap': {
      const { namespace } = contents.tap.host;
      const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
      return ` (${contents.tap.mode} ${contents.hostName}${where})`;
    }
    case 'stream':
    case 'datagram':
    case 'vhost-user':
      return ` (${contents.kind} at ${contents.settings.socket})`;
    case 'member':
      return ` of bridge ${contents.bridge}`;
    case 'neighbour':
      return ` at ${contents.mac}`;
    case 'route':
      return ` via ${textOf(contents.via)}`;
    default:
      return '';
  }
}

/** Each leaf that differs, as `tap.host.mtu 1500 -> 9000`. */
function differences(from: object, to: object, above: string): string[] {
  const [left, right] = [from as Record<string, unknown>, to as Record<string, unknown>];
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    (key) => !sameValue(left[key], right[key]),
  );
  return keys.flatMap((key) => {
    const [a, b] = [left[key], right[key]];
    if (isRecord(a) && isRecord(b)) return differences(a, b, `${above}${key}.`);
    return [`${above}${key} ${textOf(a)} -> ${textOf(b)}`];
  });
}

/** Addresses write themselves. */
function isRecord(value: unknown): value is object {
  return value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
}

function textOf(value: unknown): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(textOf).join(', ');
  if (!isRecord(value)) return String(value);
  const record = value as { kind?: string; address?: unknown; length?: number; weight?: number; firstPort?: number };
  if (record.weight !== undefined) {
    const text = formatHop(value as Parameters<typeof formatHop>[0]);
    return record.weight === 1 ? text : `${text} (weight ${record.weight})`;
  }
  if (record.firstPort !== undefined) return formatPublish(value as Parameters<typeof formatPublish>[0]);
  if (record.length !== undefined) return formatIpPrefix(value as Parameters<typeof formatIpPrefix>[0]);
  return JSON.stringify(value);
}
