/** Ports of the host that lead somewhere. */
import type { TableLayout } from '../../../engine/table-layout.ts';
import { type Column, table } from './table.ts';

export interface ForwardedPort {
  readonly interface: string;
  /** As in the configuration: `8080:80/tcp`. */
  readonly rule: string;
}

export function portTable(ports: readonly ForwardedPort[], layout: TableLayout): string {
  const columns: Column<ForwardedPort>[] = [
    { title: 'INTERFACE', cell: (port) => port.interface, colour: () => 'cyan' },
    { title: 'PORTS', cell: ({ rule }) => rule },
  ];
  return table(ports, columns, layout, 'no forwarded ports');
}
