/**
 * The API socket of slirp4netns: a request a connection, as one JSON object that ends where the client stops writing (SHUT_WR), and one in answer.
 *
 * | request                                                                                              | answer                       |
 * | ---------------------------------------------------------------------------------------------------- | ---------------------------- |
 * | `{"execute":"add_hostfwd","arguments":{"proto","host_addr","host_port","guest_addr","guest_port"}}` | `{"return":{"id":N}}`        |
 * | `{"execute":"list_hostfwd"}`                                                                         | `{"return":{"entries":[…]}}` |
 * | `{"execute":"remove_hostfwd","arguments":{"id":N}}`                                                  | `{"return":{}}`              |
 * | what can't be done                                                                                   | `{"error":{"desc":"…"}}`     |
 *
 * IPv4 only; `host_addr` is 0.0.0.0 and `guest_addr` the namespace's own where they are left out or empty. Versions differ in where they answer with `entries`: inside of
 * `return`, as is documented, or beside nothing; here it is in both places, so that every client finds it.
 *
 * Stricter than the original, which takes ports above 65,535 and does not outlive missing arguments: both are errors here.
 */
import { type IpAddress, isIpv4, parseIpAddress } from '../../base/address.ts';
import { SLIRP_REQUEST_BYTES_MAX } from '../../base/limits.ts';
import { PORT_MAX } from '../../base/port-set.ts';

export type SlirpRequest =
  | { readonly execute: 'add_hostfwd'; readonly forward: SlirpForward }
  | { readonly execute: 'list_hostfwd' }
  | { readonly execute: 'remove_hostfwd'; readonly id: number };

export interface SlirpForward {
  readonly protocol: 'tcp' | 'udp';
  /** 0.0.0.0: all. */
  readonly hostAddress: IpAddress;
  readonly hostPort: number;
  /** Undefined: the namespace's own. */
  readonly guestAddress: IpAddress | undefined;
  readonly guestPort: number;
}

/** A forward that is there, with the number that removes it. */
export interface SlirpEntry extends SlirpForward {
  readonly id: number;
  readonly guestAddress: IpAddress;
}

export type SlirpReply =
  | { readonly kind: 'added'; readonly id: number }
  | { readonly kind: 'list'; readonly entries: readonly SlirpEntry[] }
  | { readonly kind: 'removed' }
  | { readonly kind: 'error'; readonly description: string };

/** The request, or what is to be answered to it. */
export type SlirpReading =
  | { readonly ok: true; readonly request: SlirpRequest }
  | { readonly ok: false; readonly reply: SlirpReply };

type Fields = Readonly<Record<string, unknown>>;

const ANY = '0.0.0.0';

/** Takes a connection's bytes until its client stops writing. */
export class SlirpRequestReader {
  readonly #bytes: Uint8Array = new Uint8Array(SLIRP_REQUEST_BYTES_MAX);
  #length: number = 0;
  #tooLarge: boolean = false;

  /** False: too much has come. The rest need not be read, `end` says what to answer. */
  push(bytes: Uint8Array): boolean {
    if (this.#tooLarge || bytes.length > SLIRP_REQUEST_BYTES_MAX - this.#length) {
      this.#tooLarge = true;
      return false;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return true;
  }

  end(): SlirpReading {
    if (this.#tooLarge) return badRequest(`a request has ${SLIRP_REQUEST_BYTES_MAX} bytes at most`);
    return readSlirpRequest(this.#bytes.subarray(0, this.#length));
  }
}

export function readSlirpRequest(bytes: Uint8Array): SlirpReading {
  const value = parseJson(bytes);
  if (value === undefined) return badRequest('not JSON, or not ended by closing the direction of writing');
  if (!isFields(value)) return badRequest('not a JSON object');
  const { execute } = value as { readonly execute?: unknown };
  const given = (value as { readonly arguments?: unknown }).arguments;
  const fields = isFields(given) ? given : {};
  if (execute === 'add_hostfwd') return readForward(fields);
  if (execute === 'list_hostfwd') return { ok: true, request: { execute } };
  if (execute === 'remove_hostfwd') {
    const id = fields['id'];
    return isWhole(id, 1, Number.MAX_SAFE_INTEGER)
      ? { ok: true, request: { execute, id } }
      : badRequest(`remove_hostfwd: arguments.id is ${shown(id)}, not the number of a forward`);
  }
  const commands = 'add_hostfwd, list_hostfwd or remove_hostfwd';
  return badRequest(`execute is ${shown(execute)}, not one of ${commands}`);
}

export function writeSlirpReply(reply: SlirpReply): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(replyObject(reply)));
}

function readForward(fields: Fields): SlirpReading {
  const { proto, host_addr, host_port, guest_addr, guest_port } = fields as Readonly<Record<ForwardField, unknown>>;
  if (proto !== 'tcp' && proto !== 'udp') return badField('proto', proto, 'tcp or udp');
  const hostAddress = readIpv4(isGiven(host_addr) ? host_addr : ANY);
  if (hostAddress === undefined) return badField('host_addr', host_addr, 'an IPv4 address');
  if (!isWhole(host_port, 1, PORT_MAX)) return badField('host_port', host_port, 'a port from 1 to 65535');
  const guestAddress = isGiven(guest_addr) ? readIpv4(guest_addr) : undefined;
  if (isGiven(guest_addr) && guestAddress === undefined) return badField('guest_addr', guest_addr, 'an IPv4 address');
  if (!isWhole(guest_port, 1, PORT_MAX)) return badField('guest_port', guest_port, 'a port from 1 to 65535');
  const forward: SlirpForward = {
    protocol: proto,
    hostAddress,
    hostPort: host_port,
    guestAddress,
    guestPort: guest_port,
  };
  return { ok: true, request: { execute: 'add_hostfwd', forward } };
}

/** Podman leaves out what it does not mean by an empty text. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== '';
}

type ForwardField = 'proto' | 'host_addr' | 'host_port' | 'guest_addr' | 'guest_port';

function replyObject(reply: SlirpReply): object {
  if (reply.kind === 'added') return { return: { id: reply.id } };
  if (reply.kind === 'removed') return { return: {} };
  if (reply.kind === 'error') return { error: { desc: reply.description } };
  const entries = reply.entries.map(entryObject);
  return { return: { entries }, entries };
}

function entryObject({ id, protocol, hostAddress, hostPort, guestAddress, guestPort }: SlirpEntry): object {
  return {
    id,
    proto: protocol,
    host_addr: `${hostAddress}`,
    host_port: hostPort,
    guest_addr: `${guestAddress}`,
    guest_port: guestPort,
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

function readIpv4(value: unknown): IpAddress | undefined {
  const address = typeof value === 'string' && !value.includes(':') ? parseIpAddress(value) : undefined;
  return address !== undefined && isIpv4(address) ? address : undefined;
}

function badField(name: ForwardField, value: unknown, right: string): SlirpReading {
  return badRequest(`add_hostfwd: arguments.${name} is ${shown(value)}, not ${right}`);
}

/** With the words in front that the original has there. */
function badRequest(what: string): SlirpReading {
  return { ok: false, reply: { kind: 'error', description: `bad request: ${what}` } };
}

/** What was given, as JSON, and not too much of it. */
function shown(value: unknown): string {
  const text = value === undefined ? 'missing' : JSON.stringify(value);
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}
