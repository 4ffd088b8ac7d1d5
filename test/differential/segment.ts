/** Segments of a script as frames, and frames as lines of text: `A 1+100 ack 5`, numbers counted from the two SYNs. */
import * as ethernet from '#tapster/wire/ethernet.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as tcp from '#tapster/wire/tcp.js';

const NETWORK = ethernet.HEADER_BYTES;
const TRANSPORT = NETWORK + ipv4.HEADER_BYTES;
const LETTERS: readonly (readonly [string, number])[] = [
  ['S', tcp.SYN],
  ['F', tcp.FIN],
  ['R', tcp.RST],
  ['A', tcp.ACK],
];

export interface Segment {
  /** Letters of S, F, R, A. */
  readonly flags: string;
  /** From the guest's SYN on, which is 0. */
  readonly seq: number;
  /** From the other side's SYN on. */
  readonly ack?: number;
  readonly bytes?: number;
  readonly window?: number;
}

export interface Ends {
  readonly guest: number;
  readonly remote: number;
  readonly guestPort: number;
  readonly remotePort: number;
}

/** The guest's side of one connection: knows the initial numbers. */
export class Connection {
  readonly #ends: Ends;
  readonly #isn: number;
  #iss: number = 0;

  constructor(ends: Ends, isn: number) {
    this.#ends = ends;
    this.#isn = isn;
  }

  /** An Ethernet frame. */
  frame({ flags, seq, ack = 0, bytes = 0, window = 60_000 }: Segment): Uint8Array {
    const { guest, remote, guestPort, remotePort } = this.#ends;
    const isSyn = flags.includes('S');
    const headerBytes = tcp.HEADER_BYTES + (isSyn ? tcp.synOptionsBytes(-1) : 0);
    const frame = new Uint8Array(TRANSPORT + headerBytes + bytes).fill(0x61, TRANSPORT + headerBytes);
    const view = new DataView(frame.buffer);
    ethernet.writeHeader(view, 0, 0x0200, 2, 0x0200, 1, ethernet.TYPE_IPV4);
    ipv4.writeHeader(view, NETWORK, frame.length - NETWORK, tcp.PROTOCOL, guest, remote, 64, 0, 0, ipv4.DONT_FRAGMENT);
    const bits = LETTERS.reduce((sum, [letter, bit]) => sum | (flags.includes(letter) ? bit : 0), 0);
    const acknowledgment = flags.includes('A') ? (this.#iss + ack) | 0 : 0;
    const sequence = (this.#isn + seq) | 0;
    tcp.writeHeader(view, TRANSPORT, guestPort, remotePort, sequence, acknowledgment, headerBytes, bits, window);
    if (isSyn) tcp.writeSynOptions(view, TRANSPORT, 1460, -1);
    tcp.writeChecksum(view, NETWORK, TRANSPORT, frame.length);
    return frame;
  }

  /** A frame to the guest as a line; undefined where it is of another connection, or no TCP. */
  line(frame: Uint8Array): string | undefined {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (frame.length < TRANSPORT + tcp.HEADER_BYTES || ethernet.type(view, 0) !== ethernet.TYPE_IPV4) return undefined;
    if (ipv4.protocol(view, NETWORK) !== tcp.PROTOCOL) return undefined;
    if (tcp.destinationPort(view, TRANSPORT) !== this.#ends.guestPort) return undefined;
    const bits = tcp.flags(view, TRANSPORT);
    if ((bits & tcp.SYN) !== 0) this.#iss = tcp.sequence(view, TRANSPORT);
    const flags = LETTERS.map(([letter, bit]) => ((bits & bit) === 0 ? '' : letter)).join('');
    const bytes = NETWORK + ipv4.totalLength(view, NETWORK) - TRANSPORT - tcp.dataOffset(view, TRANSPORT);
    // Of a stranger's RST, which has no SYN to count from, the number is what the guest's acknowledgement said.
    const seq = (tcp.sequence(view, TRANSPORT) - this.#iss) | 0;
    const ack = flags.includes('A') ? ` ack ${(tcp.acknowledgment(view, TRANSPORT) - this.#isn) | 0}` : '';
    return `${flags} ${seq}${bytes > 0 ? `+${bytes}` : ''}${ack}`;
  }
}
