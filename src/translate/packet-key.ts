/** Which flow a guest's packet belongs to: its protocol, addresses and ports as a key of the flow table. */
import { KEY_GUEST, KEY_PORTS, KEY_PROTOCOL, KEY_REMOTE } from '../flow/flow-key.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** The third word of an IPv4 address in its mapped form. */
const MAPPED = 0xffff;

/** Fills `probe` (`KEY_WORDS`) from the headers of `packet`, which have been checked. `ports`: guest's << 16 | remote's. */
function readKey(packets: Packets, packet: number, ports: number, probe: Int32Array): void {
  const { view } = packets;
  const at = packets.network[packet];
  probe[KEY_PROTOCOL] = packets.protocol[packet] | (packets.rxInterface[packet] << 8);
  probe[KEY_PORTS] = ports;
  if (view.getUint8(at) >>> 4 === 4) {
    probe[KEY_GUEST] = 0;
    probe[KEY_GUEST + 1] = 0;
    probe[KEY_GUEST + 2] = MAPPED;
    probe[KEY_GUEST + 3] = ipv4.source(view, at);
    probe[KEY_REMOTE] = 0;
    probe[KEY_REMOTE + 1] = 0;
    probe[KEY_REMOTE + 2] = MAPPED;
    probe[KEY_REMOTE + 3] = ipv4.destination(view, at);
  } else {
    for (let word = 0; word < 4; word++) {
      probe[KEY_GUEST + word] = ipv6.sourceWord(view, at, word);
      probe[KEY_REMOTE + word] = ipv6.destinationWord(view, at, word);
    }
  }
}

/** The flow that `packet` belongs to, or -1: then its key is in the table's probe. `ports` as in `readKey`. */
export function findFlow(packets: Packets, packet: number, ports: number, flows: FlowTable): number {
  const { view } = packets;
  const at = packets.network[packet];
  if (view.getUint8(at) >>> 4 === 4) {
    const first = packets.protocol[packet] | (packets.rxInterface[packet] << 8);
    const flow = flows.findIpv4(first, ipv4.source(view, at), ipv4.destination(view, at), ports);
    if (flow >= 0) return flow;
    readKey(packets, packet, ports, flows.probe);
    return flow;
  }
  readKey(packets, packet, ports, flows.probe);
  return flows.find();
}

/** The ports of TCP and UDP, which stand first in both headers, as they stand in a key. */
export function readPorts(packets: Packets, packet: number): number {
  return packets.view.getInt32(packets.transport[packet]);
}
