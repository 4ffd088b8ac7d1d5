/** Tells people's sinks of flows: makes the record of a flow from its columns when it opens and when it closes. */
import { formatIpWords } from '../base/address.ts';
import { KEY_GUEST, KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import { type FlowTable, OUTCOME_NAMES, SIDE, TARGET_WORDS } from '../flow/flow-table.ts';
import type { NameTable } from '../flow/names.ts';
import type { FlowObserver } from '../flow/policy.ts';
import type { FlowRecord, FlowSink } from './flow-record.ts';

const PROTOCOL_NAMES: ReadonlyMap<number, FlowRecord['protocol']> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
]);

export class FlowReporter implements FlowObserver {
  readonly #flows: FlowTable;
  readonly #names: NameTable;
  readonly #sinks: readonly FlowSink[];
  readonly #nowUs: () => number;

  constructor(flows: FlowTable, names: NameTable, sinks: readonly FlowSink[], nowUs: () => number) {
    this.#flows = flows;
    this.#names = names;
    this.#sinks = sinks;
    this.#nowUs = nowUs;
  }

  opened(flow: number): void {
    if (this.#sinks.length === 0) return;
    const record = this.record(flow);
    for (const sink of this.#sinks) sink.opened(record);
  }

  closed(flow: number): void {
    if (this.#sinks.length === 0) return;
    const record = this.record(flow);
    for (const sink of this.#sinks) sink.closed(record);
  }

  /** What is known of an open flow now. */
  record(flow: number): FlowRecord {
    const flows = this.#flows;
    const { keys, targets } = flows;
    const guest = flow * KEY_WORDS + KEY_GUEST;
    const remote = flow * KEY_WORDS + KEY_REMOTE;
    const target = flow * TARGET_WORDS;
    const sinceOpenedMs = (this.#nowUs() - flows.openedUs[flow]!) / 1000;
    const remoteAddress = addressAt(keys, remote);
    const targetAddress = addressAt(targets, target);
    const mapped = remoteAddress !== targetAddress || targets[target + 4] !== flows.remotePort(flow);
    return {
      id: flows.id[flow]!,
      interfaceIndex: flows.interfaceIndex(flow),
      openedAt: Date.now() - sinceOpenedMs,
      protocol: PROTOCOL_NAMES.get(flows.protocol(flow)) ?? 'udp',
      direction: flows.origin[flow] === SIDE.GUEST ? 'out' : 'in',
      guest: { address: addressAt(keys, guest), port: flows.guestPort(flow) },
      remote: { address: remoteAddress, port: flows.remotePort(flow) },
      target: mapped ? { address: targetAddress, port: targets[target + 4]! } : undefined,
      name: this.#names.lookup(keys[remote]!, keys[remote + 1]!, keys[remote + 2]!, keys[remote + 3]!),
      outcome: OUTCOME_NAMES[flows.outcome[flow]!]!,
      packetsOut: flows.packetsOut[flow]!,
      packetsIn: flows.packetsIn[flow]!,
      bytesOut: flows.bytesOut[flow]!,
      bytesIn: flows.bytesIn[flow]!,
      durationMs: sinceOpenedMs,
      rttUs: flows.rttUs[flow]! < 0 ? undefined : flows.rttUs[flow]!,
    };
  }
}

function addressAt(words: Int32Array, at: number): string {
  return formatIpWords(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
}
