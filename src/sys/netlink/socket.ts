/**
 * Requests and dumps over a netlink socket (NETLINK_ROUTE, where `open` opens it), in whichever network namespace it was opened.
 *
 * The kernel answers within sendmsg(2), so these calls wait no longer than the kernel works. A refusal becomes a failure whose code is the errno (`netlink-eperm`)
 * and whose message holds the sentence that the kernel gave with it (NETLINK_EXT_ACK), where it gave one.
 */
import { closeSync } from 'node:fs';
import { failure, type Result, success } from '../../base/result.ts';
import { ERRNO, errnoName } from '../errno.ts';
import { loadNative } from '../native.ts';
import {
  attributeText,
  LITTLE_ENDIAN,
  MESSAGE_FLAG,
  MESSAGE_HEADER_BYTES,
  MESSAGE_TYPE,
  type Message,
  type Request,
  readAttributes,
  readMessages,
} from './message.ts';

/** The kernel fills at most 32 KiB at a time for a reader that offers them. */
const DATAGRAM_BYTES_MAX = 65_536;

/** Far more than any answer needs; reached only when something is broken. */
const ANSWER_TIMEOUT_MS = 5_000;

/** A dump that keeps changing while it is read is given up after as many times. */
const DUMP_TRIES_MAX = 5;

/** NLMSGERR_ATTR_MSG: the kernel's sentence. */
const ERROR_TEXT = 1;

/** How messages come and go: the kernel, or a test. Numbers below zero are -errno. */
export interface NetlinkCalls {
  netlinkOpen(): number;
  netlinkPrepare(fd: number): number;
  netlinkSend(fd: number, message: Uint8Array): number;
  netlinkReceive(fd: number, datagram: Uint8Array, timeoutMs: number): number;
}

export class Netlink {
  readonly fd: number;
  readonly #calls: NetlinkCalls;
  readonly #datagram: Uint8Array = new Uint8Array(DATAGRAM_BYTES_MAX);
  #sequence: number = 0;

  /** Works on a descriptor that the caller owns. */
  constructor(fd: number, calls: NetlinkCalls = loadNative<NetlinkCalls>()) {
    this.fd = fd;
    this.#calls = calls;
    calls.netlinkPrepare(fd);
  }

  /** A socket in our own network namespace; the caller closes it. */
  static open(calls: NetlinkCalls = loadNative<NetlinkCalls>()): Result<Netlink> {
    const fd = calls.netlinkOpen();
    if (fd >= 0) return success(new Netlink(fd, calls));
    return failure('netlink-unavailable', `a netlink socket can not be opened: ${errnoName(fd)}`);
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Sends a request and waits for its acknowledgment. `what` completes the sentence "can not ...". */
  request(request: Request, what: string): Result<void> {
    const sent = this.#send(request, MESSAGE_FLAG.ACK, what);
    if (!sent.ok) return sent;
    for (;;) {
      const messages = this.#receive(what);
      if (!messages.ok) return messages;
      for (const message of messages.value) {
        if (message.type === MESSAGE_TYPE.ERROR) return outcome(message, what);
      }
    }
  }

  /**
   * Asks for all objects of a kind; `read` makes a value of each message, or undefined for what is of no interest. A dump that the kernel reports as
   * inconsistent is asked for again.
   */
  dump<T>(request: Request, read: (message: Message) => T | undefined, what: string): Result<T[]> {
    for (let tries = 0; tries < DUMP_TRIES_MAX; tries++) {
      const values = this.#dumpOnce(request, read, what);
      if (!values.ok) return values;
      if (values.value !== undefined) return success(values.value);
    }
    return failure('netlink-dump-interrupted', `can not ${what}: it keeps changing; try again`);
  }

  #dumpOnce<T>(request: Request, read: (message: Message) => T | undefined, what: string): Result<T[] | undefined> {
    const values: T[] = [];
    let interrupted = false;
    const sent = this.#send(request, MESSAGE_FLAG.DUMP, what);
    if (!sent.ok) return sent;
    for (;;) {
      const messages = this.#receive(what);
      if (!messages.ok) return messages;
      for (const message of messages.value) {
        if ((message.flags & MESSAGE_FLAG.DUMP_INTERRUPTED) !== 0) interrupted = true;
        if (message.type === MESSAGE_TYPE.DONE || message.type === MESSAGE_TYPE.ERROR) {
          const ended = outcome(message, what);
          if (!ended.ok) return ended;
          return success(interrupted ? undefined : values);
        }
        const value = read(message);
        if (value !== undefined) values.push(value);
      }
    }
  }

  #send(request: Request, flags: number, what: string): Result<void> {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sent = this.#calls.netlinkSend(this.fd, request.bytes(this.#sequence, flags));
    return sent < 0 ? refused(sent, what, undefined) : success(undefined);
  }

  /** The messages of one datagram that answer the request that was sent last. */
  #receive(what: string): Result<Message[]> {
    const received = this.#calls.netlinkReceive(this.fd, this.#datagram, ANSWER_TIMEOUT_MS);
    if (received === -ERRNO.EAGAIN) {
      return failure('netlink-timeout', `can not ${what}: the kernel did not answer within ${ANSWER_TIMEOUT_MS} ms`);
    }
    if (received < 0) return refused(received, what, undefined);
    const messages = readMessages(this.#datagram.subarray(0, received));
    return success(messages.filter((message) => message.sequence === this.#sequence));
  }
}

/** What NLMSG_ERROR (struct nlmsgerr) or NLMSG_DONE says: both begin with an int, 0 or -errno. */
function outcome(message: Message, what: string): Result<void> {
  const { view, at, end } = message;
  if (at + 4 > end)
    return message.type === MESSAGE_TYPE.DONE ? success(undefined) : refused(-ERRNO.EPROTO, what, undefined);
  const error = view.getInt32(at, LITTLE_ENDIAN);
  if (error >= 0) return success(undefined);
  return refused(error, what, kernelSentence(message));
}

function kernelSentence(message: Message): string | undefined {
  const { view, at, end, flags } = message;
  if ((flags & MESSAGE_FLAG.ACK_ATTRIBUTES) === 0) return undefined;
  let attributesAt = at + 4;
  if (message.type === MESSAGE_TYPE.ERROR) {
    if (attributesAt + MESSAGE_HEADER_BYTES > end) return undefined;
    const requestBytes = view.getUint32(attributesAt, LITTLE_ENDIAN);
    attributesAt += (flags & MESSAGE_FLAG.CAPPED) !== 0 ? MESSAGE_HEADER_BYTES : requestBytes;
  }
  return attributeText(readAttributes(view, attributesAt, end), ERROR_TEXT);
}

function refused(error: number, what: string, sentence: string | undefined): Result<never> {
  const name = errnoName(error);
  const why = sentence === undefined || sentence === '' ? name : `${name} (${sentence})`;
  return failure(`netlink-${name.toLowerCase().replace(' ', '-')}`, `can not ${what}: the kernel says ${why}`);
}
