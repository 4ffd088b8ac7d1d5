/**
 * A router that is deaf to everybody who has not knocked: UDP to ports 7001, 7002 and 7003, in this order.
 *
 *     $ sudo ip netns add red
 *     $ sudo node examples/port-knocker.mjs red &
 *     10.77.0.1 listens for knocks from red
 *     $ sudo ip netns exec red ping -c 1 -W 1 10.77.0.1                                            # no answer
 *     $ sudo ip netns exec red bash -c 'for p in 7001 7002 7003; do echo > /dev/udp/10.77.0.1/$p; done'
 *     $ sudo ip netns exec red ping -c 1 10.77.0.1                                                 # an answer
 *
 * Ctrl-C ends it.
 */
import { createEngine, DROP, ipv4, udp } from 'tapster';

const KNOCKS = [7001, 7002, 7003];
/** Whoever sends from many addresses shall not fill the memory. */
const SOURCES_MAX = 10_000;

const [namespace = 'red'] = process.argv.slice(2);
/** By source address, an int32: how many knocks were right. @type {Map<number, number>} */
const progress = new Map();

/** @type {import('tapster').CustomNode} */
const knocker = {
  name: 'port-knocker',
  before: 'ip4-lookup',
  process(packets, frame, count, verdicts) {
    for (let i = 0; i < count; i++) {
      const source = ipv4.source(packets.view, packets.network[frame[i]]);
      const done = progress.get(source) ?? 0;
      if (done === KNOCKS.length) continue;
      verdicts[i] = DROP;
      if (done === 0 && progress.size >= SOURCES_MAX) continue;
      const port = knockOf(packets, frame[i]);
      if (port > 0) progress.set(source, port === KNOCKS[done] ? done + 1 : 0);
    }
  },
};

const host = { name: 'eth0', namespace, address: ['10.77.0.2/24'], gateway: ['10.77.0.1'] };
const config = { interfaces: { tap0: { tap: { host }, address: ['10.77.0.1/24'] } } };
await createEngine(config, { nodes: [knocker] });
console.log(`10.77.0.1 listens for knocks from ${namespace}`);

/** The UDP port that a packet is for, -1: none. @param {import('tapster').PacketColumns} packets @param {number} packet */
function knockOf({ view, protocol, transport, end }, packet) {
  const at = transport[packet];
  if (protocol[packet] !== udp.PROTOCOL || udp.check(view, at, end[packet]) < 0) return -1;
  return udp.destinationPort(view, at);
}
