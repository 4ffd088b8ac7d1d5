/** Bridges and their stations, routes, neighbours, flows. */
import { paint, type TableLayout } from '../../../engine/table-layout.ts';
import { counted, formatBytes, formatDuration, harmless } from '../../../engine/text.ts';
import type {
  BridgeView,
  FlowView,
  NeighbourView,
  RouteHopView,
  RouteView,
  StationView,
} from '../../../network/views.ts';
import { type Column, facts, table } from './table.ts';

export function bridgeTable(bridges: readonly BridgeView[], layout: TableLayout): string {
  if (bridges.length === 0) return 'no bridges\n';
  return bridges
    .map((bridge) => `${paint(layout, 'cyan', harmless(bridge.name))}\n${facts(bridgeFacts(bridge))}`)
    .join('');
}

export function stationTable(stations: readonly StationView[], layout: TableLayout): string {
  const columns: Column<StationView>[] = [
    { title: 'BRIDGE', cell: ({ bridge }) => bridge, colour: () => 'cyan' },
    { title: 'MAC', cell: ({ mac }) => mac },
    { title: 'INTERFACE', cell: (station) => station.interface },
    { title: 'KIND', cell: ({ kind }) => kind },
    { title: 'AGE', right: true, cell: ({ ageSeconds }) => ageText(ageSeconds) },
  ];
  return table(stations, columns, layout, 'no stations');
}

/** One line for each hop. */
export function routeTable(routes: readonly RouteView[], layout: TableLayout): string {
  const rows = routes.flatMap((route) => route.via.map((hop, index) => ({ route, hop, first: index === 0 })));
  const columns: Column<{ route: RouteView; hop: RouteHopView; first: boolean }>[] = [
    { title: 'PREFIX', cell: ({ route, first }) => (first ? route.to : ''), colour: () => 'cyan' },
    { title: 'ORIGIN', cell: ({ route, first }) => (first ? route.origin : '') },
    { title: 'VIA', cell: ({ hop }) => hopText(hop) },
    { title: 'WEIGHT', right: true, cell: ({ route, hop }) => (route.via.length > 1 ? hop.weight : '') },
    { title: 'PKTS', right: true, cell: ({ hop }) => hop.packets },
    { title: 'BYTES', right: true, cell: ({ hop }) => formatBytes(hop.bytes) },
  ];
  return table(rows, columns, layout, 'no routes');
}

export function neighbourTable(neighbours: readonly NeighbourView[], layout: TableLayout): string {
  const columns: Column<NeighbourView>[] = [
    { title: 'INTERFACE', cell: (neighbour) => neighbour.interface, colour: () => 'cyan' },
    { title: 'ADDRESS', cell: ({ address }) => address },
    { title: 'MAC', cell: ({ mac }) => mac ?? 'unknown' },
    {
      title: 'STATE',
      cell: ({ state }) => state,
      colour: ({ state }) => (state === 'failed' ? 'red' : state === 'incomplete' ? 'yellow' : undefined),
    },
    { title: 'WAITING', right: true, cell: ({ waiting }) => (waiting === 0 ? '' : waiting) },
  ];
  return table(neighbours, columns, layout, 'no neighbours');
}

export function flowTable(flows: readonly FlowView[], layout: TableLayout): string {
  const columns: Column<FlowView>[] = [
    { title: 'ID', right: true, cell: ({ id }) => id },
    { title: 'INTERFACE', cell: (flow) => flow.interface, colour: () => 'cyan' },
    { title: 'PROTO', cell: ({ protocol }) => protocol },
    { title: 'GUEST', cell: ({ guest }) => guest },
    { title: '', cell: ({ direction }) => (direction === 'out' ? '->' : '<-') },
    { title: 'REMOTE', cell: remoteText },
    { title: 'OUTCOME', cell: ({ outcome }) => outcome },
    { title: 'SENT', right: true, cell: ({ bytesOut }) => formatBytes(bytesOut) },
    { title: 'RECEIVED', right: true, cell: ({ bytesIn }) => formatBytes(bytesIn) },
    { title: 'TIME', right: true, cell: ({ durationMs }) => formatDuration(durationMs) },
    { title: 'RTT', right: true, cell: ({ rttUs }) => (rttUs === undefined ? '' : `${(rttUs / 1000).toFixed(2)} ms`) },
  ];
  return table(flows, columns, layout, 'no flows');
}

function bridgeFacts(bridge: BridgeView): [string, string][] {
  const { learn, flood, ageingSeconds, bvi, members, stations, counters } = bridge;
  const member = (each: BridgeView['members'][number]): string =>
    each.splitHorizonGroup === 0 ? each.interface : `${each.interface} (group ${each.splitHorizonGroup})`;
  const counts = Object.entries(counters).filter(([, count]) => count > 0);
  return [
    ['members', members.map(member).join(', ') || 'none'],
    ['bvi', bvi ?? ''],
    ['learn', onOff(learn)],
    ['flood', onOff(flood)],
    ['ageing', ageingSeconds === 0 ? 'never' : `${ageingSeconds} s`],
    ['stations', counted(stations, 'station')],
    ['frames', counts.map(([name, count]) => `${count} ${words(name)}`).join(', ')],
  ];
}

function onOff(on: boolean): string {
  return on ? 'on' : 'off';
}

/** `learnLimit` reads `learn limit`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function hopText({ kind, address, interface: name }: RouteHopView): string {
  switch (kind) {
    case 'address':
      return name === undefined ? `${address}` : `${address} on ${name}`;
    case 'interface':
    case 'connected':
      return `${name ?? kind}`;
    case 'local':
      return name === undefined ? 'us' : `us, on ${name}`;
    default:
      return kind;
  }
}

function remoteText({ remote, name, target }: FlowView): string {
  const called = name === undefined ? remote : `${name} (${remote})`;
  return target === undefined ? called : `${called} at ${target}`;
}

function ageText(seconds: number | undefined): string {
  return seconds === undefined ? '' : `${Math.round(seconds)} s`;
}
