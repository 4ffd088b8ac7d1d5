/** `show version`. */
import { paint, type TableLayout } from '../../../engine/table-layout.ts';
import { formatDuration, harmless } from '../../../engine/text.ts';
import type { EngineView } from '../../../network/views.ts';
import { facts } from './table.ts';

export function engineText(engine: EngineView, layout: TableLayout): string {
  const { name, version, pid, uptimeSeconds, revision, unmet } = engine;
  const lines = facts(
    [
      ['engine', name],
      ['version', version],
      ['process', pid],
      ['running for', formatDuration(uptimeSeconds * 1000)],
      ['configuration', `revision ${revision}`],
    ],
    '',
  );
  if (unmet.length === 0) return lines;
  const missing = unmet.map(({ part, message }) => `  ${harmless(part)}: ${harmless(message)}\n`).join('');
  return `${lines}${paint(layout, 'yellow', 'not as configured')}\n${missing}`;
}
