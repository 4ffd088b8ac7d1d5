/**
 * What all `-t` (or `-u`, `-T`, `-U`) of a command line say together. The text of one: `forward-text.ts`.
 *
 * - What is named twice, for addresses and interfaces that overlap, is an error; so is `none` beside anything else.
 * - `all` gives way to ports that are named, by whichever option; and later, when they are bound, to those that are taken, ephemeral or not
 *   permitted. Its rules are marked `weak` for that.
 * - `auto` is for whoever follows the ports that are bound on the other side: rules go first there as well.
 *
 * The value is ranges, as few as there can be, in order: two command lines that mean the same give the same value, and `formatForwardSpec` gives
 * the text of one that does.
 */
import { equalAddress, type IpAddress, isIpv4, isUnspecified } from '../../base/address.ts';
import { FORWARD_BINDINGS_MAX, FORWARD_RULES_MAX } from '../../base/limits.ts';
import { type PortRange, PortSet } from '../../base/port-set.ts';
import type { AutoForward, ForwardBinding, ForwardRule, ForwardSpec } from '../../engine/forward-rules.ts';
import { type Parsed, parsed, type Wrong, wrong } from '../parse/parsed.ts';
import { ALL_PORTS, type ForwardText, readForwardText } from './forward-text.ts';

interface Place extends ForwardBinding {
  /** The ports there that are named. */
  readonly named: PortSet;
}

interface AllForward extends ForwardBinding {
  readonly toAddress: IpAddress | undefined;
  readonly excluded: PortSet;
}

/** Takes the values of one option, one after the other. */
export class ForwardCollector {
  readonly #autoAllowed: boolean;
  readonly #places: Place[] = [];
  readonly #rules: ForwardRule[] = [];
  readonly #all: AllForward[] = [];
  readonly #auto: AutoForward[] = [];
  #earlier: 'none' | 'ports' | undefined = undefined;

  constructor(autoAllowed: boolean) {
    this.#autoAllowed = autoAllowed;
  }

  /** What is refused leaves no trace. */
  add(text: string): Parsed<undefined> {
    const kind = text === 'none' ? 'none' : 'ports';
    if (this.#earlier !== undefined && this.#earlier !== kind) {
      return wrong('"none" stands beside other ports', 'Leave "none" out, or the others.');
    }
    if (kind === 'ports') {
      const read = readForwardText(text);
      if (!read.ok) return read;
      const refused = this.#judge(read.value) ?? this.#judgeBounds(read.value);
      if (refused !== undefined) return refused;
      this.#take(read.value);
    }
    this.#earlier = kind;
    return parsed(undefined);
  }

  finish(): ForwardSpec {
    const rules = [...this.#rules];
    const taken = [...this.#places];
    for (const all of this.#all) {
      const except = new PortSet();
      except.addAll(all.excluded);
      for (const place of taken) if (overlap(place, all)) except.addAll(place.named);
      const named = new PortSet();
      for (const range of except.outside(ALL_PORTS)) {
        named.add(range);
        rules.push(toRule(all, range, all.toAddress, range.first, true));
      }
      taken.push({ ...placeOf(all), named });
    }
    return { rules: joined(rules), auto: [...this.#auto] };
  }

  #judge({ bind, items, all, auto }: ForwardText): Wrong | undefined {
    if (auto && !this.#autoAllowed) {
      return wrong(
        '"auto" follows the ports of a namespace, and a virtual machine has none',
        'Name the ports, or "all".',
      );
    }
    const twice = this.#namedTwice({ bind, items });
    if (twice !== undefined) return wrong(`port ${twice} is forwarded already`, 'Forward each port once.');
    const elsewhere = this.#all.find((each) => overlap(each, bind) && !sameAddress(each.toAddress, all?.toAddress));
    if (all !== undefined && elsewhere !== undefined) {
      return wrong('"all" leads elsewhere already', 'Use it once, or for different addresses.');
    }
    return undefined;
  }

  #namedTwice({ bind, items }: Pick<ForwardText, 'bind' | 'items'>): number | undefined {
    const taken = this.#places.filter((place) => overlap(place, bind)).map(({ named }) => named);
    const own = new PortSet();
    for (const item of items) {
      for (const named of [...taken, own]) {
        const port = named.firstIn(item);
        if (port !== undefined) return port;
      }
      own.add(item);
    }
    return undefined;
  }

  #judgeBounds({ bind, items, all }: ForwardText): Wrong | undefined {
    if (this.#rules.length + items.length > FORWARD_RULES_MAX) {
      return wrong(`makes more than ${FORWARD_RULES_MAX} ranges of ports`, 'Use larger ranges.');
    }
    const lists: (readonly ForwardBinding[])[] = [this.#places, this.#auto];
    const full = lists.some(
      (list) => list.length === FORWARD_BINDINGS_MAX && !list.some((each) => samePlace(each, bind)),
    );
    if (full || (all !== undefined && this.#all.length === FORWARD_BINDINGS_MAX)) {
      return wrong(`makes more than ${FORWARD_BINDINGS_MAX} addresses`, 'Leave the address out to have them all.');
    }
    return undefined;
  }

  #take({ bind, items, excluded, all, auto }: ForwardText): void {
    if (items.length > 0) {
      let place = this.#places.find((each) => samePlace(each, bind));
      if (place === undefined) {
        place = { ...bind, named: new PortSet() };
        this.#places.push(place);
      }
      for (const item of items) {
        place.named.add(item);
        this.#rules.push(toRule(bind, item, item.toAddress, item.toPort, false));
      }
    }
    if (all !== undefined) this.#all.push({ ...bind, toAddress: all.toAddress, excluded });
    if (auto) this.#takeAuto(bind, excluded);
  }

  /** Of several at one place, a port is left out that all leave out. */
  #takeAuto(bind: ForwardBinding, excluded: PortSet): void {
    const at = this.#auto.findIndex((each) => samePlace(each, bind));
    if (at < 0) {
      this.#auto.push({ ...bind, excluded: excluded.inside(ALL_PORTS) });
    } else {
      const earlier = this.#auto[at] as AutoForward;
      this.#auto[at] = { ...bind, excluded: earlier.excluded.flatMap((range) => excluded.inside(range)) };
    }
  }
}

/** The values of options which together mean this; `none` when there is nothing. */
export function formatForwardSpec({ rules, auto }: ForwardSpec): string[] {
  const texts: string[] = [];
  for (const group of groupedBy(
    rules.filter(({ weak }) => !weak),
    samePlace,
  )) {
    texts.push(formatBinding(group[0] as ForwardRule) + group.map(formatRule).join(','));
  }
  const sameAll = (a: ForwardRule, b: ForwardRule): boolean => samePlace(a, b) && sameAddress(a.toAddress, b.toAddress);
  for (const group of groupedBy(
    rules.filter(({ weak }) => weak),
    sameAll,
  ))
    texts.push(formatAll(group));
  for (const each of auto) texts.push(`${formatBinding(each)}auto${each.excluded.map(formatExclusion).join('')}`);
  return texts.length === 0 ? ['none'] : texts;
}

/** Whether a port could be bound at both. */
function overlap(a: ForwardBinding, b: ForwardBinding): boolean {
  if (a.interfaceName !== undefined && b.interfaceName !== undefined && a.interfaceName !== b.interfaceName)
    return false;
  if (a.address === undefined || b.address === undefined || equalAddress(a.address, b.address)) return true;
  return isIpv4(a.address) === isIpv4(b.address) && (isUnspecified(a.address) || isUnspecified(b.address));
}

function samePlace(a: ForwardBinding, b: ForwardBinding): boolean {
  return a.interfaceName === b.interfaceName && sameAddress(a.address, b.address);
}

function sameAddress(a: IpAddress | undefined, b: IpAddress | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalAddress(a, b);
}

function placeOf({ address, interfaceName }: ForwardBinding): ForwardBinding {
  return { address, interfaceName };
}

function toRule(
  bind: ForwardBinding,
  { first, last }: PortRange,
  toAddress: IpAddress | undefined,
  toPort: number,
  weak: boolean,
): ForwardRule {
  return { ...placeOf(bind), firstPort: first, lastPort: last, toAddress, toPort, weak };
}

/** Sorted, and with neighbours that lead to neighbours made one. */
function joined(rules: readonly ForwardRule[]): ForwardRule[] {
  const keyed = rules.map((rule) => ({ rule, place: formatBinding(rule) }));
  keyed.sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : a.rule.firstPort - b.rule.firstPort));
  const result: ForwardRule[] = [];
  for (const { rule } of keyed) {
    const last = result.at(-1);
    if (last !== undefined && continues(last, rule)) {
      result[result.length - 1] = { ...last, lastPort: rule.lastPort };
    } else {
      result.push(rule);
    }
  }
  return result;
}

function continues(a: ForwardRule, b: ForwardRule): boolean {
  return (
    samePlace(a, b) &&
    a.weak === b.weak &&
    sameAddress(a.toAddress, b.toAddress) &&
    b.firstPort === a.lastPort + 1 &&
    b.toPort - b.firstPort === a.toPort - a.firstPort
  );
}

/** Neighbours of one kind together. */
function groupedBy<T>(items: readonly T[], same: (a: T, b: T) => boolean): T[][] {
  const groups: T[][] = [];
  for (const item of items) {
    const group = groups.find((each) => same(each[0] as T, item));
    if (group === undefined) groups.push([item]);
    else group.push(item);
  }
  return groups;
}

function formatBinding({ address, interfaceName }: ForwardBinding): string {
  if (address === undefined && interfaceName === undefined) return '';
  return `${address ?? ''}${interfaceName === undefined ? '' : `%${interfaceName}`}/`;
}

function formatRule({ firstPort, lastPort, toAddress, toPort }: ForwardRule): string {
  const ports = formatRange({ first: firstPort, last: lastPort });
  const toPorts = formatRange({ first: toPort, last: toPort + lastPort - firstPort });
  if (toAddress === undefined) return toPort === firstPort ? ports : `${ports}:${toPorts}`;
  return `${ports}:${formatTarget(toAddress)}/${toPorts}`;
}

function formatAll(rules: readonly ForwardRule[]): string {
  const first = rules[0] as ForwardRule;
  const here = new PortSet();
  for (const { firstPort, lastPort } of rules) here.add({ first: firstPort, last: lastPort });
  const target = first.toAddress === undefined ? '' : `:${formatTarget(first.toAddress)}`;
  return `${formatBinding(first)}all${target}${here.outside(ALL_PORTS).map(formatExclusion).join('')}`;
}

function formatTarget(address: IpAddress): string {
  return isIpv4(address) ? `${address}` : `[${address}]`;
}

function formatExclusion(range: PortRange): string {
  return `,~${formatRange(range)}`;
}

function formatRange({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
