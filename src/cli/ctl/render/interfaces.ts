/** Interfaces, what is behind them, and the kernel's side of taps. */
import type { InterfaceDetail } from '../../../control/client.ts';
import { paint, type TableLayout } from '../../../engine/table-layout.ts';
import { counted, formatBytes, harmless } from '../../../engine/text.ts';
import type { HardwareView, InterfaceView, QueueView, TapView } from '../../../network/views.ts';
import { type Column, colourOfState, facts, table, upDown } from './table.ts';

const NAME: Column<InterfaceView> = { title: 'NAME', cell: ({ name }) => name, colour: () => 'cyan' };
const STATE: Column<InterfaceView> = {
  title: 'STATE',
  cell: ({ up }) => upDown(up),
  colour: ({ up }) => colourOfState(up),
};

export function interfaceTable(interfaces: readonly InterfaceView[], layout: TableLayout): string {
  const columns: Column<InterfaceView>[] = [
    NAME,
    { title: 'IDX', right: true, cell: ({ index }) => index },
    STATE,
    { title: 'LINK', cell: ({ linkUp }) => upDown(linkUp), colour: ({ linkUp }) => colourOfState(linkUp) },
    { title: 'MTU', right: true, cell: ({ mtu }) => mtu },
    { title: 'BRIDGE', cell: bridgeText },
    { title: 'ADDRESS', cell: ({ addresses }) => someOf(addresses) },
    { title: 'RX PKTS', right: true, cell: ({ counters }) => counters.rxPackets },
    { title: 'RX BYTES', right: true, cell: ({ counters }) => formatBytes(counters.rxBytes) },
    { title: 'TX PKTS', right: true, cell: ({ counters }) => counters.txPackets },
    { title: 'TX BYTES', right: true, cell: ({ counters }) => formatBytes(counters.txBytes) },
    {
      title: 'DROPS',
      right: true,
      cell: ({ counters }) => counters.rxDrops + counters.txErrors,
      colour: ({ counters }) => (counters.rxDrops + counters.txErrors > 0 ? 'yellow' : undefined),
    },
  ];
  return table(interfaces, columns, layout, 'no interfaces');
}

/** All that is known of one. */
export function interfaceText(detail: InterfaceDetail, layout: TableLayout): string {
  const { name, interface: view, hardware, tap } = detail;
  const title = `${paint(layout, 'cyan', harmless(name))}\n`;
  if (view === undefined) return `${title}  configured, and not there now: see show version\n`;
  const { counters } = view;
  return (
    title +
    facts([
      ['index', view.index],
      ['kind', view.vlan === undefined ? view.kind : `vlan ${view.vlan} of ${view.parent}`],
      ['state', upDown(view.up)],
      ...(hardware === undefined ? [['link', upDown(view.linkUp)] as const] : []),
      ['mac', view.mac],
      ['mtu', `${view.mtu} bytes`],
      ['promiscuous', view.promiscuous ? 'yes' : undefined],
      ['addresses', view.addresses.join(', ')],
      ['bridge', bridgeText(view)],
      ['services', view.services.join(', ')],
      [
        'received',
        `${counted(counters.rxPackets, 'packet')}, ${formatBytes(counters.rxBytes)}, ${counters.rxDrops} dropped`,
      ],
      [
        'sent',
        `${counted(counters.txPackets, 'packet')}, ${formatBytes(counters.txBytes)}, ${counters.txErrors} not taken`,
      ],
      ...(hardware === undefined ? [] : hardwareFacts(hardware)),
      ...(tap === undefined ? [] : tapFacts(tap)),
    ])
  );
}

export function addressTable(interfaces: readonly InterfaceView[], layout: TableLayout): string {
  const rows = interfaces.flatMap((view): { view: InterfaceView | undefined; address: string | undefined }[] =>
    view.addresses.length === 0
      ? [{ view, address: undefined }]
      : view.addresses.map((address, index) => ({ view: index === 0 ? view : undefined, address })),
  );
  const columns: Column<{ view: InterfaceView | undefined; address: string | undefined }>[] = [
    { title: 'NAME', cell: ({ view }) => view?.name, colour: () => 'cyan' },
    { title: 'STATE', cell: ({ view }) => (view === undefined ? '' : upDown(view.up)) },
    { title: 'ADDRESS', cell: ({ view, address }) => address ?? memberText(view) },
  ];
  return table(rows, columns, layout, 'no interfaces');
}

export function placementTable(hardware: readonly HardwareView[], layout: TableLayout): string {
  const rows = hardware.flatMap(({ name, queues }) => queues.map((queue) => ({ name, ...queue })));
  const columns: Column<QueueView & { readonly name: string }>[] = [
    { title: 'NAME', cell: ({ name }) => name, colour: () => 'cyan' },
    { title: 'QUEUE', right: true, cell: ({ queue }) => queue },
    { title: 'WORKER', right: true, cell: ({ worker }) => worker },
    { title: 'MODE', cell: ({ mode }) => mode },
  ];
  return table(rows, columns, layout, 'no queues');
}

export function hardwareText(hardware: readonly HardwareView[], layout: TableLayout): string {
  if (hardware.length === 0) return 'no hardware interfaces\n';
  return hardware
    .map((each) => `${paint(layout, 'cyan', harmless(each.name))}\n${facts(hardwareFacts(each))}`)
    .join('');
}

export function tapText(taps: readonly TapView[], layout: TableLayout): string {
  if (taps.length === 0) return 'no taps\n';
  return taps.map((tap) => `${paint(layout, 'cyan', harmless(tap.name))}\n${facts(tapFacts(tap))}`).join('');
}

function hardwareFacts(view: HardwareView): [string, string | undefined][] {
  const { device, backend, socket, linkUp, queues, offloads, software } = view;
  const { segmented, segments, checksummed, dropped, joined, joinedFrames } = software;
  return [
    ['device', `${device} by ${backend}`],
    ['socket', socket],
    ['link', upDown(linkUp)],
    ['queues', queues.map(({ queue, worker, mode }) => `${queue} on worker ${worker} (${mode})`).join(', ')],
    ['offloads', offloads.join(', ') || 'none'],
    [
      'in software',
      `${counted(segmented, 'frame')} cut into ${segments}, ${joined} joined into ${joinedFrames}, ${counted(checksummed, 'checksum')}, ${dropped} dropped`,
    ],
  ];
}

function tapFacts({ host, ...tap }: TapView): [string, string][] {
  const flags = [tap.mode, tap.persist ? 'persist' : '', tap.attach ? 'attach' : ''].filter((flag) => flag !== '');
  const offload = tap.groCoalesce ? `${tap.offload} with gro-coalesce` : tap.offload;
  return [
    ['id', `${tap.id} (${flags.join(', ')}), ${tap.backend}`],
    ['tap mac', tap.mac],
    ['admin state', upDown(tap.up)],
    ['tap queues', `${tap.rxQueues} rx of ${tap.rxRingSize}, ${tap.txQueues} tx of ${tap.txRingSize}`],
    ['offload', offload],
    ['host name', `${host.name} (${host.index})`],
    ['host ns', host.namespace ?? ''],
    ['host bridge', host.bridge ?? ''],
    ['host mac', host.mac],
    ['host mtu', `${host.mtu} bytes`],
    ['host addresses', host.addresses.join(', ')],
    ['host gateways', host.gateways.join(', ')],
    ['host state', `${upDown(host.up)}, carrier ${upDown(host.carrier)}`],
  ];
}

function bridgeText({ bridge, splitHorizonGroup }: InterfaceView): string | undefined {
  if (bridge === undefined) return undefined;
  return splitHorizonGroup === undefined || splitHorizonGroup === 0 ? bridge : `${bridge} (group ${splitHorizonGroup})`;
}

function memberText(view: InterfaceView | undefined): string {
  return view?.bridge === undefined ? 'none' : `in bridge ${view.bridge}`;
}

/** One of them, rather not a link-local one: every interface has that. */
function someOf(addresses: readonly string[]): string {
  const shown = addresses.find((address) => !address.startsWith('fe80:')) ?? addresses[0] ?? '';
  return addresses.length < 2 ? shown : `${shown} +${addresses.length - 1}`;
}
