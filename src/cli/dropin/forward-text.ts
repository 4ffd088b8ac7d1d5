/**
 * The text of one `-t`, `-u`, `-T` or `-U` of pasta and passt, as what it says; what several say together is made of it in `forward-spec.ts`.
 *
 * ```
 * SPEC   = none | [BIND/]ITEM{,ITEM}
 * BIND   = ADDR | ADDR%IF | %IF                  at this address, on this interface only
 * ITEM   = PORTS[:TARGET] | all[:TOADDR] | auto | ~PORTS
 * PORTS  = FIRST[-LAST]
 * TARGET = TOPORTS | TOADDR | TOADDR/TOPORTS     as many ports as outside; an IPv6 address may stand in brackets
 * ```
 *
 * - `~` takes ports out of everything else in the same SPEC, wherever it stands in there; a SPEC of nothing but those means `all` without them.
 * - `22:fd00::1/80` is read as port 80 at the address 22:fd00::1, since a BIND comes first; `22:[fd00::1]/80` means the other thing.
 * - Port 0 is refused: nobody could know which port that becomes.
 */
import { type IpAddress, isIpv4, isMulticast, isUnspecified, parseIpAddress } from '../../base/address.ts';
import { PORT_MAX, type PortRange, PortSet } from '../../base/port-set.ts';
import type { ForwardBinding } from '../../engine/forward-rules.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { type Parsed, parsed, type Wrong, wrong } from '../parse/parsed.ts';

/** Ports and where they lead: `toPort` is the first one's, undefined addresses mean whoever is on the other side. */
export interface ForwardItem extends PortRange {
  readonly toAddress: IpAddress | undefined;
  readonly toPort: number;
}

export interface ForwardText {
  readonly bind: ForwardBinding;
  /** What is named, without what is excluded. */
  readonly items: readonly ForwardItem[];
  readonly all: { readonly toAddress: IpAddress | undefined } | undefined;
  readonly auto: boolean;
  readonly excluded: PortSet;
}

export const ALL_PORTS: PortRange = { first: 1, last: PORT_MAX };

const RIGHT =
  'Use none, or [ADDR[%IF]/] and a list of ports: 22, 22-80, 22:2222, 22-80:1022-1080, 22:192.0.2.1/22, all, auto, ~25.';
const ANYWHERE: ForwardBinding = { address: undefined, interfaceName: undefined };

/** Anything but `none`. */
export function readForwardText(text: string): Parsed<ForwardText> {
  const cut = cutBinding(text);
  const bind = cut.bind === undefined ? parsed(ANYWHERE) : readBinding(cut.bind);
  if (!bind.ok) return bind;
  if (cut.list === '') return wrong('no ports are named', RIGHT);
  const named: ForwardItem[] = [];
  const excluded = new PortSet();
  let all: ForwardText['all'];
  let auto = false;
  for (const word of cut.list.split(',')) {
    const wrongWord = readWord(word);
    if (wrongWord !== undefined) return wrongWord;
  }
  const onlyExcluded = cut.list.split(',').every((word) => word.startsWith('~'));
  if (onlyExcluded) all = { toAddress: undefined };
  const mixed = mixedFamilies(bind.value.address, [...named, ...(all === undefined ? [] : [all])]);
  if (mixed !== undefined) return mixed;
  const items = named.flatMap((item) => without(item, excluded));
  return parsed({ bind: bind.value, items, all, auto, excluded });

  function readWord(word: string): Wrong | undefined {
    if (word === 'auto') {
      auto = true;
    } else if (word.startsWith('~')) {
      const range = readPorts(word.slice(1));
      if (!range.ok) return range;
      excluded.add(range.value);
    } else if (word === 'all' || word.startsWith('all:')) {
      const toAddress = word === 'all' ? parsed(undefined) : readTarget(word.slice('all:'.length));
      if (!toAddress.ok) return toAddress;
      if (all !== undefined) return wrong('"all" stands here twice', 'Use it once.');
      all = { toAddress: toAddress.value };
    } else {
      const item = readItem(word);
      if (!item.ok) return item;
      named.push(item.value);
    }
    return undefined;
  }
}

/** The text in front of the slash that ends a binding; a slash may belong to the target of the first item as well. */
function cutBinding(text: string): { readonly bind: string | undefined; readonly list: string } {
  const slash = text.indexOf('/');
  if (slash < 0) return { bind: undefined, list: text };
  const head = text.slice(0, slash);
  const address = head.split('%', 1)[0] as string;
  const isTarget = parseIpAddress(address) === undefined && /,|^all:|^~?\d+(-\d+)?:/.test(head);
  return isTarget ? { bind: undefined, list: text } : { bind: head, list: text.slice(slash + 1) };
}

function readBinding(text: string): Parsed<ForwardBinding> {
  const percent = text.indexOf('%');
  const addressText = unbracketed(percent < 0 ? text : text.slice(0, percent));
  const interfaceName = percent < 0 ? undefined : text.slice(percent + 1);
  const address = addressText === '' ? undefined : parseIpAddress(addressText);
  if (address === undefined && (addressText !== '' || interfaceName === undefined)) {
    return wrong(`"${addressText}" is not an address`, RIGHT);
  }
  if (address !== undefined && isMulticast(address)) {
    return wrong(`${address} is a multicast address, where nothing can listen`, 'Use an address of this host.');
  }
  if (interfaceName !== undefined && interfaceName !== 'lo') {
    const name = parseInterfaceName(interfaceName);
    if (!name.ok) return wrong(`the interface's name "${interfaceName}" is not one: ${name.wrong}`, name.right);
  }
  return parsed({ address, interfaceName });
}

function readItem(word: string): Parsed<ForwardItem> {
  const colon = word.indexOf(':');
  const range = readPorts(colon < 0 ? word : word.slice(0, colon));
  if (!range.ok) return range;
  const { first } = range.value;
  if (colon < 0) return parsed({ ...range.value, toAddress: undefined, toPort: first });
  const target = word.slice(colon + 1);
  const slash = target.lastIndexOf('/');
  const isPorts = slash < 0 && /^[\d-]*$/.test(target);
  const toAddress = isPorts ? parsed(undefined) : readTarget(slash < 0 ? target : target.slice(0, slash));
  if (!toAddress.ok) return toAddress;
  if (!isPorts && slash < 0) return parsed({ ...range.value, toAddress: toAddress.value, toPort: first });
  const to = readPorts(target.slice(slash + 1));
  if (!to.ok) return to;
  const count = range.value.last - first;
  if (to.value.last - to.value.first !== count) {
    return wrong(
      `"${word}" has ${count + 1} ports outside and ${to.value.last - to.value.first + 1} inside`,
      `Use as many: ${to.value.first}-${to.value.first + count}.`,
    );
  }
  return parsed({ ...range.value, toAddress: toAddress.value, toPort: to.value.first });
}

function readTarget(text: string): Parsed<IpAddress> {
  const address = parseIpAddress(unbracketed(text));
  if (address === undefined) return wrong(`"${text}" is neither a port nor an address`, RIGHT);
  if (isUnspecified(address) || isMulticast(address)) {
    return wrong(`${address} is nobody's address`, 'Use the address of one who listens.');
  }
  return parsed(address);
}

function readPorts(text: string): Parsed<PortRange> {
  if (text === '') return wrong('a port is missing', RIGHT);
  const [, firstText = '', lastText = firstText] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (firstText === '') return wrong(`"${text}" is neither a port nor a range of ports`, RIGHT);
  const [first, last] = [Number(firstText), Number(lastText)];
  const outside = [first, last].find((port) => port < 1 || port > PORT_MAX);
  if (outside !== undefined) return wrong(`port ${outside} is not from 1 to ${PORT_MAX}`, RIGHT);
  if (last < first) return wrong(`${text} goes backwards`, `Use ${last}-${first}.`);
  return parsed({ first, last });
}

function mixedFamilies(
  bound: IpAddress | undefined,
  targets: readonly { readonly toAddress: IpAddress | undefined }[],
): Wrong | undefined {
  if (bound === undefined) return undefined;
  for (const { toAddress } of targets) {
    if (toAddress !== undefined && isIpv4(toAddress) !== isIpv4(bound)) {
      return wrong(`${bound} and ${toAddress} are of different families`, 'Use two addresses of one family.');
    }
  }
  return undefined;
}

function without(item: ForwardItem, excluded: PortSet): ForwardItem[] {
  return excluded.outside(item).map(({ first, last }) => ({
    first,
    last,
    toAddress: item.toAddress,
    toPort: item.toPort + first - item.first,
  }));
}

function unbracketed(text: string): string {
  return text.startsWith('[') && text.endsWith(']') && text.includes(':') ? text.slice(1, -1) : text;
}
