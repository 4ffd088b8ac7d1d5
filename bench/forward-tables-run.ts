/**
 * `forward-tables-run.js ip4|ip6|turn INTERFACES ROUTES VISITS`: prints the nanoseconds that a packet costs with tables of
 * that size.
 *
 * `ip4`, `ip6`: the look-up's node, of which each packet is for another of all the routes, so that a table that does not fit
 * the processor's cache has to be fetched. `turn`: a turn of the engine in which one interface has a frame full of packets
 * for the neighbour of another, with everything but system calls; the other interfaces are silent.
 */
import { FRAME_PACKETS_MAX, type GraphNode } from '#tapster/graph/node.js';
import { Ip4Lookup } from '#tapster/nodes/ip4-lookup.js';
import { Ip6Lookup } from '#tapster/nodes/ip6-lookup.js';
import { Packets, VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import { POLL } from '#tapster/sys/sys.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import { GUEST_HOST, host4, LargeNetwork } from './forward-tables.ts';
import { MemoryLink } from './memory-link.ts';
import { FrameBlock, NETWORK_AT } from './path-frames.ts';
import { bestMs } from './visits.ts';

const FRAME_BYTES = 64;
const FROM = 0;
const TO = 1;
const TURN_US = 20;
const PROTOCOL_UDP = 17;

const [what = '', ...numbers] = process.argv.slice(2);
const [interfaces = 0, routes = 0, visits = 0] = numbers.map(Number);
const network = new LargeNetwork(interfaces, routes);
const visit = what === 'turn' ? turns() : lookUps(what === 'ip6' ? 6 : 4);
process.stdout.write(`${(bestMs(visit, visits) * 1e6) / FRAME_PACKETS_MAX}\n`);

function lookUps(family: 4 | 6): () => void {
  const { forwarding } = network.plane;
  const { adjacencies, addresses, groups, secrets, routes: base } = forwarding;
  const deps = { adjacencies, addresses, groups, secrets };
  const node: GraphNode =
    family === 4 ? new Ip4Lookup({ ...deps, routes: base.fib4 }) : new Ip6Lookup({ ...deps, routes: base.fib6 });
  const packets = new Packets();
  const block = makeBlock(family);
  packets.bytes.set(block.bytes);
  const frame = Int32Array.from({ length: FRAME_PACKETS_MAX }, (_, i) => {
    const packet = packets.adopt(block.startOf(i), FRAME_BYTES);
    packets.rxInterface[packet] = FROM;
    packets.network[packet] = packets.start[packet]! + NETWORK_AT;
    packets.protocol[packet] = PROTOCOL_UDP;
    return packet;
  });
  const arcs = new Uint8Array(FRAME_PACKETS_MAX);
  const aim = family === 4 ? aimer4(packets) : aimer6(packets);
  return () => {
    aim();
    node.process(packets, frame, FRAME_PACKETS_MAX, arcs);
    // Arc 2 is the rewrite: every packet has found its neighbour.
    if (arcs[0] !== 2 || arcs[FRAME_PACKETS_MAX - 1] !== 2) throw new Error('a route was not found');
  };
}

/** Gives each packet the next destination. */
function aimer4({ view, network: at }: Packets): () => void {
  const { destinations4 } = network;
  let next = 0;
  return () => {
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
      ipv4.setDestination(view, at[i]!, destinations4[next]!);
      if (++next === destinations4.length) next = 0;
    }
  };
}

function aimer6({ view, network: at }: Packets): () => void {
  const { destinations6: words } = network;
  let next = 0;
  return () => {
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
      ipv6.setDestination(view, at[i]!, words[next]!, words[next + 1]!, words[next + 2]!, words[next + 3]!);
      next += 4;
      if (next === words.length) next = 0;
    }
  };
}

function turns(): () => void {
  const { sys, plane } = network;
  const block = makeBlock(4);
  const from = new MemoryLink();
  const to = new MemoryLink();
  const silent = new MemoryLink();
  const token = network.connect(FROM, from);
  network.connect(TO, to);
  for (let index = TO + 1; index < interfaces; index++) network.connect(index, silent);
  let sent = 0;
  return () => {
    from.block = block;
    sys.makeReady(POLL.IN, token);
    sys.clockUs += TURN_US;
    while (plane.engine.turn());
    sent += FRAME_PACKETS_MAX;
    if (to.transmitted !== sent) throw new Error(`${to.transmitted} of ${sent} packets were forwarded`);
  };
}

/** Frames from the neighbour of the first interface; of IPv4 for the neighbour of the second. */
function makeBlock(family: 4 | 6): FrameBlock {
  const block = new FrameBlock(FRAME_PACKETS_MAX, FRAME_BYTES);
  const { view } = block;
  const { macHigh, macLow } = network.plane.forwarding.interfaces;
  const bytes = FRAME_BYTES - NETWORK_AT;
  const type = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
    const start = block.startOf(i);
    view.setInt32(start - VNET_HEADER_BYTES, 0);
    ethernet.writeHeader(view, start, macHigh[FROM]!, macLow[FROM]!, 0x0200, FROM, type);
    const at = start + NETWORK_AT;
    const [source, destination] = [host4(FROM, GUEST_HOST), host4(TO, GUEST_HOST)];
    if (family === 4) {
      ipv4.writeHeader(view, at, bytes, PROTOCOL_UDP, source, destination, 64, 0, 1, ipv4.DONT_FRAGMENT);
    } else {
      ipv6.writeHeader(view, at, bytes - ipv6.HEADER_BYTES, PROTOCOL_UDP, 64, 0, 0);
      ipv6.setSource(view, at, 0x2001_0db8, 0, 0, 1);
    }
  }
  return block;
}
