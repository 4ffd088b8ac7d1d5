/**
 * Tells people's sinks of what is spliced as if it were flows: the namespace's end is the guest's, though no packet of it was ever seen. A connection is told of when it is there
 * or has failed, a sender of datagrams with his first. With nobody to be told, do not make one: it costs a few system calls for each.
 */
import { formatIpWords } from '../base/address.ts';
import { OUTCOME, OUTCOME_NAMES } from '../flow/flow-table.ts';
import type { SpliceTarget } from '../translate/splice-deps.ts';
import type { Spliced, SpliceObserver } from '../translate/splice-view.ts';
import type { FlowRecord, FlowSink } from './flow-record.ts';

type Endpoint = FlowRecord['guest'];

/** What is known from the beginning. */
interface Begun {
  readonly id: number;
  readonly openedAt: number;
  readonly direction: FlowRecord['direction'];
  readonly guest: Endpoint;
  readonly remote: Endpoint;
  readonly target: Endpoint | undefined;
  isTold: boolean;
}

export interface SpliceReporterDeps {
  readonly protocol: 'tcp' | 'udp';
  readonly splice: Spliced;
  readonly sinks: readonly FlowSink[];
  readonly interfaceIndex: number;
  /** Whether a target is the host's, and its caller in the namespace. */
  leadsOut(target: SpliceTarget): boolean;
  takeId(): number;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class SpliceReporter implements SpliceObserver {
  readonly #deps: SpliceReporterDeps;
  readonly #begun: Map<number, Begun> = new Map();

  constructor(deps: SpliceReporterDeps) {
    this.#deps = deps;
  }

  begun(connection: number, to: SpliceTarget, port: number): void {
    const { protocol, splice, leadsOut, takeId, now } = this.#deps;
    const { caller, called } = splice.connection(connection);
    const isOut = leadsOut(to);
    const target = endpoint(to.address, port);
    const begun: Begun = {
      id: takeId(),
      openedAt: now(),
      direction: isOut ? 'out' : 'in',
      guest: isOut ? endpoint(caller, caller[4]!) : target,
      remote: isOut ? endpoint(called, called[4]!) : endpoint(caller, caller[4]!),
      target: isOut && (called[4] !== port || !isSameAddress(called, to.address)) ? target : undefined,
      isTold: false,
    };
    this.#begun.set(connection, begun);
    if (protocol === 'udp') this.#tellOpened(connection, begun, OUTCOME.pending);
  }

  connected(connection: number): void {
    const begun = this.#begun.get(connection);
    if (begun?.isTold === false) this.#tellOpened(connection, begun, OUTCOME.established);
  }

  ended(connection: number, outcome: number): void {
    const begun = this.#begun.get(connection);
    if (begun === undefined) return;
    if (!begun.isTold) this.#tellOpened(connection, begun, outcome);
    this.#begun.delete(connection);
    const record = this.#record(connection, begun, outcome);
    for (const sink of this.#deps.sinks) sink.closed(record);
  }

  #tellOpened(connection: number, begun: Begun, outcome: number): void {
    begun.isTold = true;
    const record = this.#record(connection, begun, outcome);
    for (const sink of this.#deps.sinks) sink.opened(record);
  }

  #record(connection: number, begun: Begun, outcome: number): FlowRecord {
    const { protocol, splice, interfaceIndex, now } = this.#deps;
    const { bytesToTarget, bytesToCaller } = splice.connection(connection);
    const { id, openedAt, direction, guest, remote, target } = begun;
    return {
      ...{ id, interfaceIndex, openedAt, direction, guest, remote, target },
      protocol,
      name: undefined,
      outcome: OUTCOME_NAMES[outcome]!,
      packetsOut: 0,
      packetsIn: 0,
      bytesOut: direction === 'out' ? bytesToTarget : bytesToCaller,
      bytesIn: direction === 'out' ? bytesToCaller : bytesToTarget,
      durationMs: now() - openedAt,
      rttUs: undefined,
    };
  }
}

function endpoint(words: Int32Array, port: number): Endpoint {
  return { address: formatIpWords(words[0]!, words[1]!, words[2]!, words[3]!), port };
}

function isSameAddress(a: Int32Array, b: Int32Array): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
