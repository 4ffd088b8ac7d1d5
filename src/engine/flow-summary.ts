/**
 * `--summary`: a table of what a command did on the network, grouped by name, protocol and port, most bytes first.
 *
 *     NAME                   PROTO  PORT  FLOWS      SENT  RECEIVED  OUTCOME
 *     registry.example.org   tcp     443     12   31.2 kB   45.6 MB  11 closed, 1 reset
 *     10.0.2.3               udp      53      4     240 B     812 B  4 closed
 *     published              tcp      80      2    1.2 MB     350 B  2 closed
 *     3 names, 18 flows in 12.3 s: 1.23 MB sent, 45.6 MB received
 *
 * SENT and RECEIVED are payload as the command sees it. Flows that others opened (published ports) are one row per port of the command. A flow's outcome
 * is counted when it closes; one that is not closed when the table is made counts as `open`. Memory is bounded: groups beyond `GROUPS_MAX` become one
 * row, `(others)`. Text only: names come from the network and are made harmless (`text.ts`), which leaves them one column per character, so no library
 * is needed to measure them; colours are Node's own (`util.styleText`).
 */
import type { FlowRecord, FlowSink } from './flow-record.ts';
import { type Colour, paint, type TableLayout } from './table-layout.ts';
import { clip, counted, formatBytes, formatDuration, harmless } from './text.ts';

/** Rows of the table; a port scan must not eat the memory. */
export const GROUPS_MAX: number = 4096;

const NAME_COLUMNS_MIN = 12;
const GAP = '  ';

interface Group {
  readonly name: string;
  readonly protocol: string;
  readonly port: number | undefined;
  flows: number;
  open: number;
  bytesOut: number;
  bytesIn: number;
  /** How often each outcome was. */
  readonly outcomes: Map<string, number>;
}

export class FlowSummary implements FlowSink {
  readonly #groups: Map<string, Group> = new Map();
  readonly #now: () => number;
  readonly #startedAt: number;

  /** `now` gives milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.#startedAt = now();
  }

  opened(record: FlowRecord): void {
    const group = this.#groupOf(record);
    group.flows++;
    group.open++;
  }

  closed(record: FlowRecord): void {
    const group = this.#groupOf(record);
    group.open--;
    group.bytesOut += record.bytesOut;
    group.bytesIn += record.bytesIn;
    group.outcomes.set(record.outcome, (group.outcomes.get(record.outcome) ?? 0) + 1);
  }

  /** The table, with a line end behind each line. */
  render(layout: TableLayout): string {
    const groups = [...this.#groups.values()].sort(byBytes);
    const total = totalLine(groups, this.#now() - this.#startedAt);
    if (groups.length === 0) return `${total}\n`;
    return `${table(groups, layout).join('\n')}\n${paint(layout, 'dim', total)}\n`;
  }

  #groupOf(record: FlowRecord): Group {
    const { name, port } = nameAndPort(record);
    const key = `${record.protocol} ${port ?? ''} ${name}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    // A flow's group must be the same at both ends of its life: once it overflowed, its key is not among the groups and never will be.
    return this.#groups.size < GROUPS_MAX
      ? this.#newGroup(key, name, record.protocol, port)
      : (this.#groups.get('others') ?? this.#newGroup('others', '(others)', '', undefined));
  }

  #newGroup(key: string, name: string, protocol: string, port: number | undefined): Group {
    const group = { name, protocol, port, flows: 0, open: 0, bytesOut: 0, bytesIn: 0, outcomes: new Map() };
    this.#groups.set(key, group);
    return group;
  }
}

function nameAndPort(record: FlowRecord): { name: string; port: number | undefined } {
  if (record.direction === 'in') return { name: 'published', port: record.guest.port };
  const icmp = record.protocol === 'icmp' || record.protocol === 'icmpv6';
  return { name: harmless(record.name ?? record.remote.address), port: icmp ? undefined : record.remote.port };
}

function byBytes(a: Group, b: Group): number {
  return b.bytesOut + b.bytesIn - (a.bytesOut + a.bytesIn) || b.flows - a.flows || (a.name < b.name ? -1 : 1);
}

function totalLine(groups: readonly Group[], durationMs: number): string {
  const sum = (of: (group: Group) => number): number => groups.reduce((total, group) => total + of(group), 0);
  const flows = sum((group) => group.flows);
  const took = formatDuration(durationMs);
  if (flows === 0) return `no flows in ${took}`;
  const names = new Set(groups.map((group) => group.name)).size;
  const sent = formatBytes(sum((group) => group.bytesOut));
  const received = formatBytes(sum((group) => group.bytesIn));
  return `${counted(names, 'name')}, ${counted(flows, 'flow')} in ${took}: ${sent} sent, ${received} received`;
}

const HEADER = ['NAME', 'PROTO', 'PORT', 'FLOWS', 'SENT', 'RECEIVED', 'OUTCOME'];
const RIGHT_ALIGNED = [false, false, true, true, true, true, false];

function table(groups: readonly Group[], layout: TableLayout): string[] {
  const rows = [HEADER, ...groups.map(cellsOf)];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => cell(row, column).length)));
  fitInto(layout.columns, widths);
  return rows.map((row, i) => {
    const cells = widths.map((width, column) => {
      const text = clip(cell(row, column), width);
      const padded = RIGHT_ALIGNED[column] ? text.padStart(width) : text.padEnd(width);
      return i === 0 ? padded : paint(layout, colourOf(column, cell(row, column)), padded);
    });
    const line = cells.join(GAP).trimEnd();
    return i === 0 ? paint(layout, 'bold', line) : line;
  });
}

function cellsOf(group: Group): string[] {
  return [
    group.name,
    group.protocol,
    group.port === undefined ? '' : String(group.port),
    String(group.flows),
    formatBytes(group.bytesOut),
    formatBytes(group.bytesIn),
    outcomeText(group),
  ];
}

/** `11 closed, 1 reset`: the most frequent first. */
function outcomeText(group: Group): string {
  const counts = [...group.outcomes].sort((a, b) => b[1] - a[1]);
  if (group.open > 0) counts.push(['open', group.open]);
  return counts.map(([outcome, n]) => `${n} ${outcome}`).join(', ');
}

/** Takes what is too wide from the name first, then from the outcome. */
function fitInto(columns: number, widths: number[]): void {
  const name = 0;
  const outcome = widths.length - 1;
  for (const [column, min] of [
    [name, NAME_COLUMNS_MIN],
    [outcome, 0],
  ] as const) {
    const excess = widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1)) - columns;
    const width = widths[column] as number;
    if (excess > 0 && width > min) widths[column] = Math.max(min, width - excess);
  }
}

function cell(row: readonly string[], column: number): string {
  return row[column] ?? '';
}

function colourOf(column: number, text: string): Colour | undefined {
  if (column === 0) return 'cyan';
  const isOutcome = column === HEADER.length - 1;
  return isOutcome && /refused|unreachable|timeout|reset|denied|failed/.test(text) ? 'red' : undefined;
}
