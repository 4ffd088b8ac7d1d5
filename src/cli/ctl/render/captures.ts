/** Captures. */
import type { TableLayout } from '../../../engine/table-layout.ts';
import { counted, formatBytes, harmless } from '../../../engine/text.ts';
import type { CaptureView } from '../../../network/views.ts';
import { type Column, table } from './table.ts';

export function captureStarted({ name, interface: where, file }: CaptureView): string {
  return `${harmless(name)}: ${where === 'any' ? 'all interfaces' : harmless(where)} to ${harmless(file)}\n`;
}

export function captureEnded(captures: readonly CaptureView[]): string {
  if (captures.length === 0) return 'no captures\n';
  return captures
    .map(({ name, packets, bytes, file }) => {
      const written = `${counted(packets, 'packet')}, ${formatBytes(bytes)}`;
      return `${harmless(name)}: ${written} in ${harmless(file)}\n`;
    })
    .join('');
}

export function captureTable(captures: readonly CaptureView[], layout: TableLayout): string {
  const columns: Column<CaptureView>[] = [
    { title: 'NAME', cell: ({ name }) => name, colour: () => 'cyan' },
    { title: 'INTERFACE', cell: (capture) => capture.interface },
    { title: 'WAYS', cell: ({ directions }) => directions.join(' ') },
    {
      title: 'STATE',
      cell: ({ active, ended }) => (active ? 'active' : `ended${ended === undefined ? '' : `: ${ended}`}`),
    },
    { title: 'PKTS', right: true, cell: ({ packets, packetsMax }) => ofMax(String(packets), packetsMax?.toString()) },
    {
      title: 'BYTES',
      right: true,
      cell: ({ bytes, bytesMax }) =>
        ofMax(formatBytes(bytes), bytesMax === undefined ? undefined : formatBytes(bytesMax)),
    },
    { title: 'FILTERED', right: true, cell: ({ filtered, filter }) => (filter === undefined ? '' : filtered) },
    { title: 'FILTER', cell: ({ filter }) => filter },
    { title: 'FILE', cell: ({ file }) => file },
  ];
  return table(captures, columns, layout, 'no captures');
}

function ofMax(text: string, max: string | undefined): string {
  return max === undefined ? text : `${text} of ${max}`;
}
