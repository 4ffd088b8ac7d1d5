/**
 * A flow as people and files see it: an object made once when the flow opens and once when it closes, never per packet.
 */

export interface FlowRecord {
  readonly id: number;
  /** The guest's. */
  readonly interfaceIndex: number;
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  /** `out`: the guest called; `in`: somebody called the guest (a published port). */
  readonly direction: 'out' | 'in';
  /** The guest's end. For ICMP the port is the echo identifier. */
  readonly guest: { readonly address: string; readonly port: number };
  /** The other end, as the guest sees it. */
  readonly remote: { readonly address: string; readonly port: number };
  /** Where the host's socket really went, when policy mapped it. */
  readonly target: { readonly address: string; readonly port: number } | undefined;
  /** The name that the guest had asked DNS for to get `remote`. */
  readonly name: string | undefined;
  /** See OUTCOME in `flow/flow-table.ts`: established, refused, unreachable, timeout, reset, closed, denied, failed, killed. */
  readonly outcome: string;
  readonly packetsOut: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly durationMs: number;
  /** Round-trip time on the host's side in microseconds, where it is known. */
  readonly rttUs: number | undefined;
}

/** Hears of each flow: log files, the terminal, the summary. */
export interface FlowSink {
  opened(record: FlowRecord): void;
  closed(record: FlowRecord): void;
}
