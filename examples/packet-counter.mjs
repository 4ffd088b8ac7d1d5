/**
 * A router with a node of our own in its graph, which counts the packets of each protocol.
 *
 *     $ sudo ip netns add red
 *     $ sudo node examples/packet-counter.mjs red &
 *     red has eth0 with 10.77.0.2/24; ping 10.77.0.1 from there
 *     $ sudo ip netns exec red ping -c 3 10.77.0.1
 *     icmp: 3
 *
 * Prints a line whenever something has changed. Ctrl-C ends it.
 */
import { createEngine, icmp, tcp, udp } from 'tapster';

const [namespace = 'red'] = process.argv.slice(2);
const names = new Map([
  [icmp.PROTOCOL, 'icmp'],
  [tcp.PROTOCOL, 'tcp'],
  [udp.PROTOCOL, 'udp'],
]);
/** Packets by the number of their protocol: nothing is allocated where packets pass. */
const counts = new Float64Array(256);

/** @type {import('tapster').CustomNode} */
const counter = {
  name: 'packet-counter',
  before: 'ip4-lookup',
  process(packets, frame, count) {
    for (let i = 0; i < count; i++) counts[packets.protocol[frame[i]]]++;
  },
};

const host = { name: 'eth0', namespace, address: ['10.77.0.2/24'], gateway: ['10.77.0.1'] };
const config = { interfaces: { tap0: { tap: { host }, address: ['10.77.0.1/24'] } } };
await createEngine(config, { nodes: [counter] });
console.log(`${namespace} has eth0 with 10.77.0.2/24; ping 10.77.0.1 from there`);

let shown = '';
setInterval(() => {
  const lines = [...counts.entries()].filter(([, packets]) => packets > 0);
  const text = lines.map(([protocol, packets]) => `${names.get(protocol) ?? protocol}: ${packets}`).join(', ');
  if (text !== shown) console.log(text);
  shown = text;
}, 500);
