/**
 * Sockets of another network namespace, or of our own where the engine may not make them itself: a small process there makes them on request
 * (native/socket-server.c), as long as the engine runs.
 *
 * A request waits for its answer: some 20 microseconds and one for each socket. Whoever needs sockets one at a time asks for several and
 * keeps them (`translate/splice-sockets.ts`).
 *
 * To be started before the engine gives its rights away. The process has a copy of our memory as it is then, of which it keeps what we change: the earlier, the
 * smaller.
 */
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { loadNative } from './native.ts';
import { SOCKET_ADDRESS_WORDS } from './sys.ts';

/** What one request makes at most: descriptors that one message carries (SCM_MAX_FD). */
export const SOCKETS_PER_REQUEST_MAX = 253;

/** enum socket_request_flags and struct request of native/socket-server.c. */
const FLAG = { BIND: 1, REUSE: 2, FREEBIND: 4, DUAL: 8 } as const;
const WORD = { FAMILY: 0, TYPE: 1, PROTOCOL: 2, COUNT: 3, FLAGS: 4, BACKLOG: 5, ADDRESS: 6, DEVICE: 12 } as const;
const REQUEST_WORDS = 16;
/** AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG. */
const DIAGNOSTIC = { family: 16, type: 3, protocol: 4 } as const;
/** IFNAMSIZ - 1. */
const DEVICE_NAME = /^(?!\.{1,2}$)[!-.0-~]{1,15}$/;

export interface SocketRequest {
  readonly family: number;
  readonly type: number;
  /** The protocol of the type unless said. */
  readonly protocol?: number;
  /** One unless said, `SOCKETS_PER_REQUEST_MAX` at most. */
  readonly count?: number;
  /** Where the first is bound (six words); the others have the ports behind it. They are not bound unless said. */
  readonly address?: Int32Array;
  /** They listen, with room for so many callers; they don't unless said. */
  readonly backlog?: number;
  readonly reuseAddress?: boolean;
  /** Addresses too that nobody has (yet). */
  readonly freebind?: boolean;
  /** Sockets of IPv6 that are of IPv4 too. */
  readonly dual?: boolean;
  /** The interface that they belong to. */
  readonly device?: string;
}

interface SocketServerCalls {
  socketServerStart(namespaceFd: number, result: Int32Array): number;
  socketServerMake(control: number, number: number, request: Int32Array, result: Int32Array): number;
  socketServerEnd(control: number, pid: number): number;
}

/** `namespaceFd`: of a network namespace, which the caller closes; undefined: ours. */
export function startSocketServer(namespaceFd?: number): Result<SocketServer> {
  const calls = loadNative<SocketServerCalls>();
  const result = new Int32Array(2);
  const error = calls.socketServerStart(namespaceFd ?? -1, result);
  if (error === 0) return success(new SocketServer(calls, result[0]!, result[1]!));
  const why = error === -ERRNO.EPERM ? 'we may not go there: it belongs to another user' : errnoName(error);
  return failure('socket-server', `the process that makes sockets in the namespace can not be started: ${why}`);
}

export class SocketServer {
  readonly pid: number;
  readonly #calls: SocketServerCalls;
  readonly #control: number;
  readonly #request: Int32Array = new Int32Array(REQUEST_WORDS);
  #requests: number = 0;
  #open: boolean = true;

  /** For `startSocketServer`. */
  constructor(calls: SocketServerCalls, control: number, pid: number) {
    this.#calls = calls;
    this.#control = control;
    this.pid = pid;
  }

  /** Makes sockets: for each its descriptor or -errno in `result`. 0; or -errno, and there is none. */
  make(request: SocketRequest, result: Int32Array): number {
    if (!this.#open) return -ERRNO.EPIPE;
    if (!fillRequest(this.#request, request)) return -ERRNO.ENODEV;
    // 0 is the number of what the process says first.
    this.#requests = (this.#requests % 0x7fff_ffff) + 1;
    return this.#calls.socketServerMake(this.#control, this.#requests, this.#request, result);
  }

  /** Makes one socket: its descriptor or -errno. */
  makeOne(request: SocketRequest): number {
    const result = new Int32Array(1);
    const error = this.make({ ...request, count: 1 }, result);
    return error < 0 ? error : result[0]!;
  }

  /** A socket that `BoundPorts` asks by, which the caller closes; or -errno. */
  makeDiagnostic(): number {
    return this.makeOne(DIAGNOSTIC);
  }

  /** Ends the process. What it has made stays. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#calls.socketServerEnd(this.#control, this.pid);
  }
}

/** False: there can be no such interface. */
function fillRequest(words: Int32Array, request: SocketRequest): boolean {
  const { address, device = '' } = request;
  if (device !== '' && !DEVICE_NAME.test(device)) return false;
  words.fill(0);
  words[WORD.FAMILY] = request.family;
  words[WORD.TYPE] = request.type;
  words[WORD.PROTOCOL] = request.protocol ?? 0;
  words[WORD.COUNT] = request.count ?? 1;
  words[WORD.FLAGS] =
    (address === undefined ? 0 : FLAG.BIND) |
    (request.reuseAddress ? FLAG.REUSE : 0) |
    (request.freebind ? FLAG.FREEBIND : 0) |
    (request.dual ? FLAG.DUAL : 0);
  words[WORD.BACKLOG] = request.backlog ?? -1;
  if (address !== undefined) words.set(address.subarray(0, SOCKET_ADDRESS_WORDS), WORD.ADDRESS);
  new TextEncoder().encodeInto(device, new Uint8Array(words.buffer, WORD.DEVICE * 4));
  return true;
}
