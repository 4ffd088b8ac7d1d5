/** What answers datagrams and echo requests in the simulated network, and the ICMP errors that may come back instead. */
import { ERRNO } from '../errno.ts';
import { SOCKET_FAMILY } from '../sys.ts';
import { type Endpoint, familyOf } from './endpoint.ts';

/** What Linux sends with. */
export const TTL_DEFAULT = 64;

export type IcmpErrorName =
  | 'port-unreachable'
  | 'host-unreachable'
  | 'net-unreachable'
  | 'prohibited'
  | 'time-exceeded'
  | 'too-big';

export const PORT_UNREACHABLE: IcmpErrorName = 'port-unreachable';

export interface DatagramService {
  /** The answers to one payload, none by default: the datagram is swallowed. For echo requests, payload means the ICMP message. */
  readonly answer?: (payload: Uint8Array, from: Endpoint, trafficClass: number) => readonly Uint8Array[];
  /** There and back; two latencies by default. */
  readonly delayUs?: number;
  /** Where answers come from, when not from the address that was asked. */
  readonly answersFrom?: Endpoint;
  readonly answerTtl?: number;
  /** Every datagram is answered by this error, from this node (by default the destination). */
  readonly error?: IcmpErrorName;
  readonly errorFrom?: string;
  /** Addresses of the routers on the way: a datagram with TTL n or hop limit n dies at the n-th. */
  readonly routers?: readonly string[];
  /** Larger payloads come back as too big. */
  readonly mtuBytes?: number;
}

/** Sends every payload back. */
export const echoService: DatagramService = { answer: (payload) => [payload] };

/** Answers echo requests of both families, as a host does. */
export const pingService: DatagramService = {
  answer: (message) => {
    const reply = message.slice();
    reply[0] = message[0] === ECHO_REQUEST_V4 ? ECHO_REPLY_V4 : ECHO_REPLY_V6;
    return [reply];
  },
};

export const ECHO_REQUEST_V4 = 8;
export const ECHO_REPLY_V4 = 0;
export const ECHO_REQUEST_V6 = 128;
export const ECHO_REPLY_V6 = 129;

/** As in struct sock_extended_err. */
export interface IcmpError {
  readonly errno: number;
  readonly origin: number;
  readonly type: number;
  readonly code: number;
  readonly info: number;
  readonly offender: Endpoint;
  /** Told to sockets without IP_RECVERR too, when they are connected. */
  readonly hard: boolean;
}

const ORIGIN_ICMP = 2;
const ORIGIN_ICMP6 = 3;

type Row = readonly [errno: number, type4: number, code4: number, type6: number, code6: number, hard: boolean];

/** Types and codes of RFC 792 and RFC 4443; errno and `hard` as the kernel's icmp_err_convert and tab_unreach have them. */
const ERRORS: { readonly [name in IcmpErrorName]: Row } = {
  'port-unreachable': [ERRNO.ECONNREFUSED, 3, 3, 1, 4, true],
  'host-unreachable': [ERRNO.EHOSTUNREACH, 3, 1, 1, 3, false],
  'net-unreachable': [ERRNO.ENETUNREACH, 3, 0, 1, 0, false],
  prohibited: [ERRNO.EHOSTUNREACH, 3, 13, 1, 1, true],
  'time-exceeded': [ERRNO.EHOSTUNREACH, 11, 0, 3, 0, false],
  'too-big': [ERRNO.EMSGSIZE, 3, 4, 2, 0, false],
};

/** The error as it comes back from `offender`. */
export function icmpError(
  name: IcmpErrorName,
  offender: Endpoint,
  family: number = familyOf(offender.address),
): IcmpError {
  const [errno, type4, code4, type6, code6, hard] = ERRORS[name];
  const from = { ...offender, port: 0 };
  return family === SOCKET_FAMILY.INET
    ? { errno, origin: ORIGIN_ICMP, type: type4, code: code4, info: 0, offender: from, hard }
    : { errno, origin: ORIGIN_ICMP6, type: type6, code: code6, info: 0, offender: from, hard };
}
