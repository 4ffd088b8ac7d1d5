/** Events, a line each. */
import { paint, type TableLayout } from '../../../engine/table-layout.ts';
import { harmless } from '../../../engine/text.ts';
import type { EventView } from '../../../network/views.ts';

export function eventLines(events: readonly EventView[], layout: TableLayout): string {
  return events.length === 0 ? 'no events\n' : events.map((event) => eventLine(event, layout)).join('');
}

/** `2026-11-21 07:13:39.250Z interface-up tap0 is up`; in UTC, since engines and readers may be far from each other. */
export function eventLine({ at, event, type, message }: EventView, layout: TableLayout): string {
  const time = paint(layout, 'dim', timeText(at));
  const name = paint(layout, type === 'error' ? 'red' : 'cyan', harmless(event));
  return `${time} ${name} ${harmless(message)}\n`;
}

function timeText(at: number): string {
  return new Date(at).toISOString().replace('T', ' ');
}
