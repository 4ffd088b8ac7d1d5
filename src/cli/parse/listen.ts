/** `--listen ADDR:PORT`: a loopback address and a port; an IPv6 address in brackets. */
import { isLoopback, parseIpAddress } from '../../base/address.ts';
import { PORT_MAX } from '../../base/port-set.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const RIGHT = 'Use a loopback address and a port, such as 127.0.0.1:7100 or [::1]:7100.';

export interface ListenAddress {
  readonly address: string;
  /** 0: the kernel's choice. */
  readonly port: number;
  /** As it was written. */
  readonly text: string;
}

export function parseListen(text: string): Parsed<ListenAddress> {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const judged = parseIpAddress(address);
  if (judged === undefined) return wrong('not an address and a port', RIGHT);
  if (!isLoopback(judged)) return wrong('not a loopback address: whoever reaches the port could try', RIGHT);
  const port = Number(match?.[3]);
  return port > PORT_MAX ? wrong(`port ${port} is above ${PORT_MAX}`, RIGHT) : parsed({ address, port, text });
}
