/**
 * SO_PEEK_OFF on TCP (socket(7); Linux 6.9 for IPv4, a little later for IPv6): peeking goes on where the last peek ended, so that data which
 * the guest has not acknowledged stays in the host's socket at no cost. Tried on a connection to ourselves.
 */
import { SO, SOL } from '../../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../../sys/sys.ts';
import type { Check } from './check.ts';

const PORT_WORD = 4;
const IPV4_LOOPBACK = [0, 0, 0xffff, 0x7f000001];
const IPV6_LOOPBACK = [0, 0, 0, 1];
/** Loopback delivers at once, or after a turn of the kernel's own. */
const TRIES = 50;

export async function probePeekOffset(sys: Sys): Promise<Check> {
  const id = 'tcp-peek-offset';
  const title = 'TCP peek offset';
  const ipv4 = await peekOffsetWorks(sys, SOCKET_FAMILY.INET, IPV4_LOOPBACK);
  const ipv6 = await peekOffsetWorks(sys, SOCKET_FAMILY.INET6, IPV6_LOOPBACK);
  const found = `IPv4 ${tell(ipv4)}, IPv6 ${tell(ipv6)}`;
  if (ipv4 && ipv6) return { id, title, status: 'ok', found };
  // No IPv6 at all on this machine says nothing about the kernel.
  if (ipv4 && ipv6 === undefined) return { id, title, status: 'ok', found };
  const without = 'large downloads cost more: what waits for an acknowledgement is read again each time';
  return { id, title, status: 'warning', found, without, fix: 'install Linux 6.12 or newer' };
}

function tell(works: boolean | undefined): string {
  return works === undefined ? 'not there' : works ? 'yes' : 'no';
}

/** Undefined: the family has no loopback here. */
async function peekOffsetWorks(sys: Sys, family: number, loopback: readonly number[]): Promise<boolean | undefined> {
  const open: number[] = [];
  const memory = new Uint8Array(4);
  const id = sys.register(memory);
  try {
    const pair = await connectedPair(sys, family, loopback, open);
    if (pair === undefined) return undefined;
    const [client, server] = pair;
    if (sys.setOption(server, SOL.SOCKET, SO.PEEK_OFF, 0) < 0) return false;
    memory.set([1, 2]);
    const vector = Int32Array.of(id, 0, 2);
    const vectorId = sys.register(vector);
    const sent = sys.sendVector(client, vectorId, 0, 1, false);
    sys.unregister(vectorId);
    if (sent !== 2) return undefined;
    memory.fill(0);
    const first = await retry(() => sys.peek(server, id, 0, 1, -1, -1));
    const second = sys.peek(server, id, 1, 1, -1, -1);
    return first === 1 && second === 1 && memory[0] === 1 && memory[1] === 2;
  } finally {
    sys.unregister(id);
    for (const fd of open) sys.close(fd);
  }
}

async function connectedPair(
  sys: Sys,
  family: number,
  loopback: readonly number[],
  open: number[],
): Promise<[number, number] | undefined> {
  const address = new Int32Array(SOCKET_ADDRESS_WORDS);
  address.set(loopback);
  const listener = keep(sys.socket(family, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT), open);
  if (listener < 0 || sys.bind(listener, address) < 0 || sys.listen(listener, 1) < 0) return undefined;
  if (sys.localAddress(listener, address) < 0 || address[PORT_WORD] === 0) return undefined;
  const client = keep(sys.socket(family, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT), open);
  if (client < 0) return undefined;
  sys.connect(client, address);
  const server = keep(await retry(() => sys.accept(listener, address)), open);
  return server < 0 ? undefined : [client, server];
}

function keep(fd: number, open: number[]): number {
  if (fd >= 0) open.push(fd);
  return fd;
}

/** Calls until the result is not negative, or the tries are used up. */
async function retry(call: () => number): Promise<number> {
  for (let i = 1; ; i++) {
    const result = call();
    if (result >= 0 || i === TRIES) return result;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
