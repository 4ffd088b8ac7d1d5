/**
 * Tables for people: columns as wide as what stands in them, text on the left, numbers on the right. Nothing is cut. Every cell is made harmless: names come
 * from guests, files and the network.
 */
import { type Colour, paint, type TableLayout } from '../../../engine/table-layout.ts';
import { harmless } from '../../../engine/text.ts';

export type Cell = string | number | undefined;

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => Cell;
  /** Numbers stand on the right. */
  readonly right?: boolean;
  readonly colour?: (row: Row) => Colour | undefined;
}

const GAP = '  ';

/** Whole lines; `empty` where there is no row. Columns that are empty in every row are left out. */
export function table<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  layout: TableLayout,
  empty: string,
): string {
  if (rows.length === 0) return `${empty}\n`;
  const filled = columns
    .map((column) => ({ column, cells: rows.map((row) => cellText(column.cell(row))) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  const widths = filled.map(({ column, cells }) => Math.max(column.title.length, ...cells.map((cell) => cell.length)));
  const line = (cell: (at: number) => string, colour: (at: number) => Colour | undefined): string =>
    filled
      .map(({ column }, at) => {
        const last = at === filled.length - 1;
        const text = cell(at);
        const padding = ' '.repeat(Math.max(0, widths[at]! - text.length));
        const painted = paint(layout, colour(at), text);
        if (column.right) return padding + painted;
        return last ? painted : painted + padding;
      })
      .join(GAP)
      .trimEnd();
  const header = line(
    (at) => filled[at]!.column.title,
    () => 'bold',
  );
  const body = rows.map((row, index) =>
    line(
      (at) => filled[at]!.cells[index]!,
      (at) => filled[at]!.column.colour?.(row),
    ),
  );
  return `${[header, ...body].join('\n')}\n`;
}

/** Names and values below each other; what is not known is left out. */
export function facts(list: readonly (readonly [string, Cell])[], indent: string = '  '): string {
  const known = list.flatMap(([name, cell]) => {
    const text = cellText(cell);
    return text === '' ? [] : [[name, text] as const];
  });
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, text]) => `${indent}${name.padEnd(width)}${GAP}${text}\n`).join('');
}

export function upDown(up: boolean): string {
  return up ? 'up' : 'down';
}

export function colourOfState(up: boolean): Colour {
  return up ? 'green' : 'red';
}

function cellText(cell: Cell): string {
  return cell === undefined ? '' : harmless(String(cell));
}
