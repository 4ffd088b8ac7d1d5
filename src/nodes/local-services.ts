/**
 * Which packets for our own addresses sockets of the host may answer: `ip4-services` and `ip6-services`, features before `ip4-local` and `ip6-local`.
 *
 * While they are `enabled`, which they are with an uplink, TCP and UDP go on to the translators: answers of guests to callers that appear under our address are
 * found there, policy passes questions for DNS on, and what is left is refused like a closed port. Everything else, and everything while they are not,
 * goes on to where it was to go. The look-up has put fragments together, so packets are whole.
 */
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';

const ARC_LOCAL = ARC_NEXT;
const ARC_TCP = ARC_NEXT + 1;
const ARC_UDP = ARC_NEXT + 2;

class LocalServices implements GraphNode {
  enabled: boolean = false;
  readonly name: string;
  readonly next: readonly string[];

  protected constructor(name: string, local: string) {
    this.name = name;
    this.next = [local, 'tcp-input', 'udp-input'];
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const { protocol } = packets;
    const { enabled } = this;
    for (let i = 0; i < count; i++) arcs[i] = enabled ? arcOf(protocol[frame[i]]) : ARC_LOCAL;
  }
}

export class Ip4Services extends LocalServices {
  constructor() {
    super('ip4-services', 'ip4-local');
  }
}

export class Ip6Services extends LocalServices {
  constructor() {
    super('ip6-services', 'ip6-local');
  }
}

function arcOf(protocol: number): number {
  if (protocol === tcp.PROTOCOL) return ARC_TCP;
  return protocol === udp.PROTOCOL ? ARC_UDP : ARC_LOCAL;
}
