/**
 * `guest-rings-run.js in|out|bridged VISITS`: prints how many million frames of 64 bytes go each second through queues of vhost-user links, whose other
 * side has always filled or emptied them ahead. `collections VISITS`: how many garbage collections there are in a million frames each way.
 *
 * `in`: turns of a running network's engine with one interface. The frames are for nobody there, and are dropped behind `ethernet-input`. `out`: the link is given the same
 * frames again and again. `bridged`: in by one link and out by another, through the bridge.
 */
import { MacAddress } from '#tapster/base/address.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { DataPlane } from '#tapster/network/data-plane.js';
import { VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import { GuestRings } from './guest-rings.ts';
import { GUEST_MAC } from './path-frames.ts';
import { bestMs, countCollections } from './visits.ts';

const FRAME_BYTES = 64;
const MTU = 1500;
/** Whom the frames are for: nobody of ours. */
const STATION = { high: 0x0200, low: 3 } as const;
const COLLECTION_FRAMES = 1_000_000;

const [what = '', visitsText = ''] = process.argv.slice(2);
const visits = Number(visitsText);
if (what === 'collections') {
  const [send, give, bridge] = [receiving(), transmitting(), bridging()];
  const round = (): void => {
    send();
    give();
    bridge();
  };
  const rounds = Math.min(visits, Math.ceil(COLLECTION_FRAMES / FRAME_PACKETS_MAX));
  process.stdout.write(`${await countCollections(round, visits, rounds)}\n`);
} else {
  const visit = what === 'in' ? receiving() : what === 'out' ? transmitting() : bridging();
  process.stdout.write(`${FRAME_PACKETS_MAX / bestMs(visit, visits) / 1000}\n`);
}

function newPlane(): DataPlane {
  return new DataPlane(new LinuxSys(), {
    nodes: [],
    onConflict: () => {},
    onCaptureEnded: () => {},
    flowSink: { opened: () => {}, closed: () => {} },
  });
}

/** An interface that is up, with a link to a guest of its own. */
function addGuest(plane: DataPlane, frame: Uint8Array): { readonly index: number; readonly rings: GuestRings } {
  const { engine, forwarding, sys } = plane;
  const added = forwarding.addInterface(new MacAddress(0x02fe, forwarding.interfaces.end), MTU);
  if (!added.ok) throw new Error(added.failure.message);
  const index = added.value;
  const rings = new GuestRings(sys, engine.arenaMemory, frame);
  engine.addInterface(index, rings.link);
  engine.addQueue(index, rings.link, rings.link.fd);
  forwarding.setUp(index, true);
  return { index, rings };
}

function receiving(): () => void {
  const plane = newPlane();
  const { index, rings } = addGuest(plane, makeFrame());
  let sent = 0;
  return () => {
    rings.send();
    turn(plane, index);
    sent += FRAME_PACKETS_MAX;
    if (plane.engine.graph.droppedOf(index) !== sent) throw new Error('a frame was not dropped');
  };
}

function transmitting(): () => void {
  const { engine, sys } = newPlane();
  const { packets } = engine;
  const bytes = makeFrame();
  const rings = new GuestRings(sys, engine.arenaMemory, bytes);
  const frame = Int32Array.from({ length: FRAME_PACKETS_MAX }, () => {
    const packet = packets.allocate(FRAME_BYTES);
    packets.bytes.set(bytes, packets.start[packet]! - VNET_HEADER_BYTES);
    return packet;
  });
  return () => {
    rings.makeRoom();
    const taken = rings.link.transmit(packets, frame, FRAME_PACKETS_MAX);
    if (taken !== FRAME_PACKETS_MAX) throw new Error(`only ${taken} frames were taken`);
  };
}

function bridging(): () => void {
  const plane = newPlane();
  const { bridges } = plane.forwarding;
  const bridge = bridges.add();
  const [from, to] = [addGuest(plane, makeFrame()), addGuest(plane, makeFrame())];
  for (const { index } of [from, to]) bridges.addMember(bridge, index);
  bridges.setStatic(bridge, STATION.high, STATION.low, to.index);
  return () => {
    to.rings.makeRoom();
    from.rings.send();
    turn(plane, from.index);
  };
}

function turn({ engine }: DataPlane, index: number): void {
  // What is polled need not be kicked.
  engine.wake(index);
  while (engine.turn());
}

/** For the station, behind an empty virtio-net header. */
function makeFrame(): Uint8Array {
  const bytes = new Uint8Array(VNET_HEADER_BYTES + FRAME_BYTES);
  const view = new DataView(bytes.buffer);
  const { high, low } = STATION;
  ethernet.writeHeader(view, VNET_HEADER_BYTES, high, low, GUEST_MAC.high, GUEST_MAC.low, ethernet.TYPE_IPV4);
  return bytes;
}
