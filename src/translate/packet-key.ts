/** Which flow a guest's packet belongs to: its protocol, addresses and ports as a key of the flow table. */
import { KEY } from '../flow/flow-key.ts';
import type { Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** The third word of an IPv4 address in its mapped form. */
const MAPPED = 0xffff;

/** Fills `probe` (`KEY_WORDS`) from the headers of `packet`, which have been checked. `ports`: guest's << 16 | remote's. */
export function readKey(packets: Packets, packet: number, ports: number, probe: Int32Array): void {
  const { view } = packets;
  const at = packets.network[packet];
  probe[KEY.PROTOCOL] = packets.protocol[packet] | (packets.rxInterface[packet] << 8);
  probe[KEY.PORTS] = ports;
  if (view.getUint8(at) >>> 4 === 4) {
    probe[KEY.GUEST] = 0;
    probe[KEY.GUEST + 1] = 0;
    probe[KEY.GUEST + 2] = MAPPED;
    probe[KEY.GUEST + 3] = ipv4.source(view, at);
    probe[KEY.REMOTE] = 0;
    probe[KEY.REMOTE + 1] = 0;
    probe[KEY.REMOTE + 2] = MAPPED;
    probe[KEY.REMOTE + 3] = ipv4.destination(view, at);
  } else {
    for (let word = 0; word < 4; word++) {
      probe[KEY.GUEST + word] = ipv6.sourceWord(view, at, word);
      probe[KEY.REMOTE + word] = ipv6.destinationWord(view, at, word);
    }
  }
}

/** The ports of TCP and UDP, which stand first in both headers, as they stand in a key. */
export function readPorts(packets: Packets, packet: number): number {
  return packets.view.getInt32(packets.transport[packet]);
}
