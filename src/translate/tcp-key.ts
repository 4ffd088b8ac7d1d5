/** Which flow a guest's segment belongs to: its addresses and ports as a key of the flow table. */
import { KEY } from '../flow/flow-table.ts';
import type { Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';

/** Fills `probe` (`KEY_WORDS`) from the headers of `packet`, which have been checked. */
export function readKey(packets: Packets, packet: number, probe: Int32Array): void {
  const { view } = packets;
  const at = packets.transport[packet];
  const network = packets.network[packet];
  probe[KEY.PROTOCOL] = tcp.PROTOCOL | (packets.rxInterface[packet] << 8);
  probe[KEY.PORTS] = (tcp.sourcePort(view, at) << 16) | tcp.destinationPort(view, at);
  if (view.getUint8(network) >>> 4 === 4) {
    probe[1] = 0;
    probe[2] = 0;
    probe[3] = 0xffff;
    probe[4] = ipv4.source(view, network);
    probe[5] = 0;
    probe[6] = 0;
    probe[7] = 0xffff;
    probe[8] = ipv4.destination(view, network);
  } else {
    for (let word = 0; word < 4; word++) {
      probe[KEY.GUEST + word] = ipv6.sourceWord(view, network, word);
      probe[KEY.REMOTE + word] = ipv6.destinationWord(view, network, word);
    }
  }
}
