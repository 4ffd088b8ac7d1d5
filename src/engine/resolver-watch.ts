/**
 * Watches whether the host's resolvers answer: a DNS flow that was sent to one of them and closes without an answer makes policy ask the next one from then on.
 */
import type { FlowTable } from '../flow/flow-table.ts';
import type { FlowObserver } from '../flow/policy.ts';
import type { AsksResolvers } from '../flow/resolvers.ts';

const UDP = 17;
const DNS_PORT = 53;

export class ResolverWatch implements FlowObserver {
  readonly #flows: FlowTable;
  readonly #policy: AsksResolvers;
  readonly #next: FlowObserver;

  /** `next` hears of everything too. */
  constructor(flows: FlowTable, policy: AsksResolvers, next: FlowObserver) {
    this.#flows = flows;
    this.#policy = policy;
    this.#next = next;
  }

  opened(flow: number): void {
    this.#next.opened(flow);
  }

  closed(flow: number): void {
    const { packetsIn, packetsOut } = this.#flows;
    const asked = this.#flows.protocol(flow) === UDP && this.#flows.remotePort(flow) === DNS_PORT;
    if (asked && packetsOut[flow]! > 0 && packetsIn[flow] === 0) this.#policy.resolverUnanswered(this.#flows, flow);
    this.#next.closed(flow);
  }
}
