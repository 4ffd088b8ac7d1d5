/**
 * The difference of two configurations: what to do, in order, so that an engine that is as the one says becomes as the other says. Pure; loads no package.
 *
 * Both are taken apart (`parts.ts`). A part that is gone is removed; one that is new is added; one that differs is changed where it stands if its kind can
 * be, else removed and added again. With a part goes everything that needs it, first, and comes back, last, if it is still wanted. What is the same and
 * needs nothing that goes is in no action: it keeps its flows and counters.
 *
 * Removals come first, dependents before what they need; then additions and changes, the other way round. So a name, an id or an address that moves
 * is free when it is taken again. Each action has an inverse; those of the actions done so far, in the opposite order, undo them.
 */
import type { Config } from './config.ts';
import { type Contents, type Part, partsOf, type TapPart } from './parts.ts';
import { sameValue } from './same-value.ts';

export type Action =
  | { readonly do: 'add'; readonly part: Part }
  | { readonly do: 'remove'; readonly part: Part }
  /** Of the same kind and key. */
  | { readonly do: 'change'; readonly part: Part; readonly from: Part };

export function plan(from: Config, to: Config): Action[] {
  const before = partsOf(from);
  const after = partsOf(to);
  const going = partsGoing(before, after);
  const actions: Action[] = [];
  for (const part of [...before.values()].reverse()) {
    if (going.has(part.key)) actions.push({ do: 'remove', part });
  }
  for (const part of after.values()) {
    const old = before.get(part.key);
    if (old === undefined || going.has(part.key)) actions.push({ do: 'add', part });
    else if (!sameValue(old.contents, part.contents)) actions.push({ do: 'change', part, from: old });
  }
  return actions;
}

export function inverse(action: Action): Action {
  switch (action.do) {
    case 'add':
      return { do: 'remove', part: action.part };
    case 'remove':
      return { do: 'add', part: action.part };
    case 'change':
      return { do: 'change', part: action.from, from: action.part };
  }
}

/** Keys of the parts of `before` that must go, for good or to come back. Parts are in an order in which what is needed comes first. */
function partsGoing(before: ReadonlyMap<string, Part>, after: ReadonlyMap<string, Part>): Set<string> {
  const going = new Set<string>();
  for (const part of before.values()) {
    const next = after.get(part.key);
    const stays = next !== undefined && canBecome(part.contents, next.contents);
    if (!stays || part.needs.some((key) => going.has(key))) going.add(part.key);
  }
  return going;
}

/** Whether the one can be changed to the other where it stands. */
function canBecome(from: Contents, to: Contents): boolean {
  if (from.kind !== to.kind) return false;
  if (from.kind === 'tap' && to.kind === 'tap') return sameValue(fixedOf(from, to), fixedOf(to, to));
  if (from.kind === 'stream' && to.kind === 'stream') return sameValue(from.settings, to.settings);
  if (from.kind === 'datagram' && to.kind === 'datagram') return sameValue(from.settings, to.settings);
  if (from.kind === 'vhost-user' && to.kind === 'vhost-user') {
    const { rxMode } = to.settings;
    return sameValue({ ...from.settings, rxMode }, to.settings);
  }
  // A station's way through a bridge is learnt there: moving to another is leaving the first.
  if (from.kind === 'member' && to.kind === 'member') return from.bridge === to.bridge;
  return true;
}

/** What a tap is born with. Its number only where one is wished: any will do otherwise. */
function fixedOf({ tap, hostName }: TapPart, wanted: TapPart): readonly unknown[] {
  const id = wanted.tap.id === undefined ? undefined : tap.id;
  const { queues, ringSizes, attach, mode, backend, host } = tap;
  return [id, queues, ringSizes, attach, mode, backend, host.namespace, hostName];
}
