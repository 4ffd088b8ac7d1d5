/**
 * DNS servers that guests' questions are passed on to: all new questions go to the same one, until it leaves one unanswered; then the next has its turn.
 */
import type { IpAddress } from '../base/address.ts';
import { isAt, SCOPE, writeAddress } from './address-words.ts';
import { type FlowTable, TARGET_WORDS } from './flow-table.ts';
import { VERDICT } from './policy.ts';

/** Where a server is that the host asks: a socket address's address and scope. */
export interface Resolver {
  readonly address: IpAddress;
  readonly scopeId: number;
}

/** A policy that sends questions to servers, and cares whether they answer. */
export interface AsksResolvers {
  /** A flow to a resolver got no answer. If that is the one that new questions go to, the next one is asked from now on. */
  resolverUnanswered(flows: FlowTable, flow: number): void;
}

export class Resolvers {
  readonly #list: readonly Resolver[];
  #turn: number = 0;

  constructor(list: readonly Resolver[]) {
    this.#list = list;
  }

  /** Sends a question to the server whose turn it is. Returns the verdict: LOCAL where there is none. */
  ask(flows: FlowTable, flow: number): number {
    const resolver = this.#list[this.#turn];
    if (resolver === undefined) return VERDICT.LOCAL;
    const at = flow * TARGET_WORDS;
    writeAddress(resolver.address, flows.targets, at);
    flows.targets[at + SCOPE] = resolver.scopeId;
    return VERDICT.ALLOW;
  }

  unanswered(flows: FlowTable, flow: number): void {
    const asked = this.#list[this.#turn];
    if (asked === undefined || !isAt(asked.address, flows.targets, flow * TARGET_WORDS)) return;
    this.#turn = (this.#turn + 1) % this.#list.length;
  }
}
