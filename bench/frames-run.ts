/**
 * `frames-run.js c|ethernet|ip4 FILLS`, in a network namespace of its own: fills a tap's queue with frames of 64 bytes and
 * empties it into another tap, through the graph or by the C reference. Prints frames and nanoseconds of the emptying:
 * whoever fills is not measured.
 */
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { ipv4Address } from '#tapster/base/address.js';
import { InterfaceOutput } from '#tapster/engine/interface-output.js';
import type { GuestLink } from '#tapster/flow/guest-link.js';
import { Graph } from '#tapster/graph/graph.js';
import { FRAME_PACKETS_MAX, type GraphNode } from '#tapster/graph/node.js';
import { TapLink } from '#tapster/link/tap.js';
import { EthernetInput } from '#tapster/nodes/ethernet-input.js';
import { Ip4Input } from '#tapster/nodes/ip4-input.js';
import { NO_OFFLOAD } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { DATAGRAM_WORDS, SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { IFF, tunOpen, tunSetVnetHeaderSize } from '#tapster/sys/tun.js';
import { compiled } from './compile.ts';
import { Cross, Sink } from './nodes.ts';

/** What the first tap's queue holds. */
const QUEUE_FRAMES = 4000;
const OUR_MAC = { text: '02:00:00:00:00:02', high: 0x0200, low: 2 };
/** With the headers of UDP, IPv4 and Ethernet, 64 bytes. */
const PAYLOAD_BYTES = 22;
const NEIGHBOUR = 0x0a000002;
const FIRST_TAP = 0;
const SECOND_TAP = 1;
/** Fills that warm the program up. */
const WARM_FILLS = 25;

const [what = '', fillsText = ''] = process.argv.slice(2);
const fills = Number(fillsText);
const sys = new LinuxSys();
const taps = [openTap('from'), openTap('to')] as const;
configure();
const filler = openFiller();
if (what === 'c') runReference();
else runGraph(what);

function openTap(name: string): number {
  const fd = tunOpen(name, IFF.TAP | IFF.NO_PI | IFF.VNET_HDR);
  if (fd < 0 || tunSetVnetHeaderSize(fd, 12) < 0) throw new Error(`tap ${name}: errno ${-fd}`);
  return fd;
}

/** No IPv6: its router solicitations would be among the frames. The neighbour's address is ours, so nobody asks for it. */
function configure(): void {
  const script = `
    echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
    echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
    ip link set from txqueuelen ${QUEUE_FRAMES + 96} up
    ip link set to up
    ip address add 10.0.0.1/24 dev from
    ip neigh add 10.0.0.2 lladdr ${OUR_MAC.text} dev from`;
  const { status, stderr } = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

function openFiller(): number {
  const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0);
  const { w0, w1, w2, w3 } = ipv4Address(NEIGHBOUR);
  if (sys.connect(fd, Int32Array.of(w0, w1, w2, w3, 9, 0)) < 0) throw new Error('the filling socket');
  return fd;
}

function runReference(): void {
  const numbers = [FRAME_PACKETS_MAX, QUEUE_FRAMES, fills].map(String);
  const stdio = ['ignore', 'inherit', 'inherit', ...taps, filler] as const;
  process.exitCode = spawnSync(compiled('frames'), numbers, { stdio: [...stdio] }).status ?? 1;
}

function runGraph(depth: string): void {
  const packets = new Packets();
  const arenaMemory = sys.register(packets.bytes);
  const output = new InterfaceOutput(packets);
  const guest: GuestLink = {
    index: FIRST_TAP,
    mtu: 1500,
    ourMacHigh: OUR_MAC.high,
    ourMacLow: OUR_MAC.low,
    offload: NO_OFFLOAD,
  };
  const links = taps.map(
    (fd, index) =>
      new TapLink(sys, { name: `tap ${index}`, fd, hasVnetHeader: true, offload: NO_OFFLOAD, arenaMemory }),
  );
  links.forEach((link, index) => {
    output.add(index, link);
  });
  const nodes: GraphNode[] =
    depth === 'ethernet'
      ? [new EthernetInput([guest]), new Cross('ip4-input', SECOND_TAP)]
      : [new EthernetInput([guest]), new Ip4Input(), new Cross('udp-input', SECOND_TAP)];
  const missing = [...new Set(nodes.flatMap(({ next }) => next))].filter(
    (name) => name !== output.name && !nodes.some((node) => node.name === name),
  );
  const graph = new Graph([...nodes, ...missing.map((name) => new Sink(name)), output]);
  const entry = graph.indexOf('ethernet-input');
  const frame = new Int32Array(FRAME_PACKETS_MAX);

  /** As `Engine.turn` does, until there is nothing left. */
  const empty = (): number => {
    let all = 0;
    for (;;) {
      const got = links[FIRST_TAP]!.receive(packets, frame, FRAME_PACKETS_MAX);
      for (let i = 0; i < got; i++) packets.rxInterface[frame[i]!] = FIRST_TAP;
      graph.run(entry, packets, frame, Math.max(0, got));
      output.flush();
      all += got;
      if (got < FRAME_PACKETS_MAX) return all;
    }
  };
  const fill = makeFill();
  let frames = 0;
  let spentMs = 0;
  for (let i = -WARM_FILLS; i < fills; i++) {
    fill();
    const startMs = performance.now();
    const moved = empty();
    const nowMs = performance.now();
    if (moved !== QUEUE_FRAMES) throw new Error(`${moved} of ${QUEUE_FRAMES} frames arrived`);
    if (i < 0) continue;
    frames += moved;
    spentMs += nowMs - startMs;
  }
  const sent = graph.counters().find(({ name }) => name === output.name);
  if (sent?.packets !== QUEUE_FRAMES * (fills + WARM_FILLS)) throw new Error('frames got lost in the graph');
  process.stdout.write(`${frames} ${Math.round(spentMs * 1e6)}\n`);
}

/** One sendmmsg for 250 datagrams. */
function makeFill(): () => void {
  const batch = 250;
  const memory = sys.register(new Uint8Array(PAYLOAD_BYTES));
  const records = new Int32Array(batch * DATAGRAM_WORDS);
  for (let i = 0; i < batch; i++) {
    const { w0, w1, w2, w3 } = ipv4Address(NEIGHBOUR);
    records.set([0, PAYLOAD_BYTES, 0, -1, -1, 0, w0, w1, w2, w3, 9, 0], i * DATAGRAM_WORDS);
  }
  const recordsMemory = sys.register(records);
  return () => {
    for (let sent = 0; sent < QUEUE_FRAMES; ) {
      const taken = sys.sendDatagrams(filler, memory, recordsMemory, 0, batch);
      if (taken <= 0) throw new Error(`filling: errno ${-taken}`);
      sent += taken;
    }
  };
}
