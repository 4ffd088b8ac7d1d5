/** Arguments that many commands have. */
import { optional, type Syntax, type Value, value } from '../syntax.ts';
import { BRIDGE, FILTER, INTERFACE, TAP } from '../value-types.ts';

export const INTERFACE_ARGUMENT: Value = value('interface', 'IF', INTERFACE, 'an interface: tap0, tap0.100 or bvi.lan');
export const TAP_ARGUMENT: Value = value('interface', 'IF', TAP, 'a tap');
export const BRIDGE_ARGUMENT: Value = value('bridge', 'BD', BRIDGE, 'a bridge');
export const FILTER_ARGUMENT: Value = value(
  'filter',
  'EXPR',
  FILTER,
  'a filter as of pcap-filter(7), to the end of the line',
);

export function maybe(argument: Syntax): Syntax {
  return optional(argument);
}
