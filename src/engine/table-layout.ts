/** How tables and lines for people look where they go to: a terminal, a file, a pipe. */
import { styleText } from 'node:util';

export interface TableLayout {
  /** Columns of the terminal. */
  readonly columns: number;
  readonly colours: boolean;
}

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const COLUMNS_MIN = 60;

/** The width and the colours that a stream allows: COLUMNS and the terminal's own width, NO_COLOR and FORCE_COLOR (no-color.org, force-color.org). */
export function layoutFor(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: NodeJS.ProcessEnv = process.env,
): TableLayout {
  const columns = Number(env['COLUMNS']) || (stream.isTTY === true ? stream.columns : 0) || 100;
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0';
  const terminal = stream.isTTY === true && env['TERM'] !== 'dumb';
  return { columns: Math.max(columns, COLUMNS_MIN), colours: !env['NO_COLOR'] && (forced || terminal) };
}

export function paint(layout: TableLayout, colour: Colour | undefined, text: string): string {
  return layout.colours && colour !== undefined ? styleText(colour, text, { validateStream: false }) : text;
}
