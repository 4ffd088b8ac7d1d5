/** Nodes, errors, threads, traces. */
import { paint, type TableLayout } from '../../../engine/table-layout.ts';
import { harmless } from '../../../engine/text.ts';
import type { ErrorView, NodeView, ThreadView, TraceView } from '../../../network/views.ts';
import { type Column, table } from './table.ts';

/** Reading the clock around each node costs more than some nodes do, so nobody pays for it who did not ask. */
const TIMED_FROM_NOW = 'Nodes are timed from now on: ask again for ns per packet.\n';

export function runtimeTable(nodes: readonly NodeView[], layout: TableLayout): string {
  const columns: Column<NodeView>[] = [
    { title: 'NODE', cell: ({ node }) => node, colour: () => 'cyan' },
    { title: 'WORKER', right: true, cell: ({ worker }) => worker },
    { title: 'CALLS', right: true, cell: ({ calls }) => calls },
    { title: 'VECTORS', right: true, cell: ({ vectors }) => vectors },
    { title: 'PKTS', right: true, cell: ({ packets }) => packets },
    { title: 'PKTS/VECTOR', right: true, cell: ({ packetsPerVector }) => packetsPerVector.toFixed(2) },
    { title: 'MAX', right: true, cell: ({ packetsMax }) => packetsMax },
    { title: 'NS/PKT', right: true, cell: ({ nsPerPacket }) => nsPerPacket?.toFixed(1) },
  ];
  // Those that never ran say nothing but their names, which show node names has.
  const ran = nodes.filter(({ calls }) => calls > 0);
  const untimed = ran.length > 0 && ran.every(({ nsPerPacket }) => nsPerPacket === undefined);
  return table(ran, columns, layout, 'no node has run') + (untimed ? TIMED_FROM_NOW : '');
}

export function errorTable(errors: readonly ErrorView[], layout: TableLayout): string {
  const columns: Column<ErrorView>[] = [
    { title: 'PKTS', right: true, cell: ({ packets }) => packets, colour: () => 'yellow' },
    { title: 'NODE', cell: ({ node }) => node, colour: () => 'cyan' },
    { title: 'REASON', cell: ({ reason }) => reason },
  ];
  return table(errors, columns, layout, 'no errors');
}

export function threadTable(threads: readonly ThreadView[], layout: TableLayout): string {
  const columns: Column<ThreadView>[] = [
    { title: 'WORKER', right: true, cell: ({ worker }) => worker },
    { title: 'NAME', cell: ({ name }) => name, colour: () => 'cyan' },
    { title: 'THREAD', right: true, cell: ({ thread }) => thread },
    { title: 'TURNS', right: true, cell: ({ turns }) => turns },
    { title: 'BUSY', right: true, cell: ({ busyRatio }) => `${(busyRatio * 100).toFixed(1)} %` },
    { title: 'QUEUES', cell: ({ queues }) => queues.join(', ') || 'none' },
  ];
  return table(threads, columns, layout, 'no threads');
}

export function nodeNames(nodes: readonly string[]): string {
  return nodes.length === 0 ? 'no nodes\n' : nodes.map((node) => `${harmless(node)}\n`).join('');
}

/** Each packet, and below it each node with what it saw and decided. */
export function traceText(traces: readonly TraceView[], layout: TableLayout): string {
  if (traces.length === 0) return 'no packet was traced: see trace add\n';
  return traces.map((trace) => packetText(trace, layout)).join('\n');
}

function packetText(
  { number, interface: name, frameBytes, hops, hopsLeftOut }: TraceView,
  layout: TableLayout,
): string {
  const from = name === undefined ? '' : ` from ${harmless(name)}`;
  const lines = [paint(layout, 'bold', `packet ${number}${from}, ${frameBytes} bytes`)];
  const start = hops[0]?.atUs ?? 0;
  for (const { node, atUs, text, decision } of hops) {
    const time = `${(atUs - start).toFixed(1)} us`.padStart(11);
    const red = decision.startsWith('dropped') ? 'red' : 'dim';
    lines.push(`${time}  ${paint(layout, 'cyan', harmless(node))}  ${paint(layout, red, harmless(decision))}`);
    for (const line of text.split('\n')) if (line !== '') lines.push(`${' '.repeat(13)}${harmless(line)}`);
  }
  if (hopsLeftOut > 0) lines.push(`${' '.repeat(13)}and ${hopsLeftOut} more nodes`);
  return `${lines.join('\n')}\n`;
}
