/** A flow for the tests of what tells of flows. */
import type { FlowRecord } from './flow-record.ts';

export function flowRecord(changes: Partial<FlowRecord> = {}): FlowRecord {
  return {
    id: 7,
    interfaceIndex: 0,
    openedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    protocol: 'tcp',
    direction: 'out',
    guest: { address: '10.0.2.15', port: 40_312 },
    remote: { address: '192.0.2.7', port: 443 },
    target: undefined,
    name: 'example.org',
    outcome: 'closed',
    packetsOut: 9,
    packetsIn: 8,
    bytesOut: 517,
    bytesIn: 4200,
    durationMs: 1250,
    rttUs: 12_345,
    ...changes,
  };
}
