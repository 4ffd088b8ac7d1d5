/**
 * What happens to the network interfaces of a namespace, as the kernel tells it: the messages of RTNLGRP_LINK.
 *
 * The kernel drops messages for a reader that is too slow, and says so once (ENOBUFS). Then nobody knows what was missed: the reader lists everything anew (`listLinks`),
 * after which further events are good again. The same goes for the moment after `monitorLinks`: what was there before is listed, not told.
 *
 * An interface that moves to another namespace is gone here. One that leaves its bridge is not, though the bridge says RTM_DELLINK of its port.
 */
import type { MacAddress } from '../../base/address.ts';
import { failure, type Result, success } from '../../base/result.ts';
import { ERRNO, errnoName } from '../errno.ts';
import { loadNative } from '../native.ts';
import { DELETE_LINK, readLink } from './link.ts';
import { readMessages } from './message.ts';
import type { NetlinkCalls } from './socket.ts';

const RTNLGRP_LINK = 1;

/** A link's message has 1 to 2 KiB; with many virtual functions it is longer. The kernel makes none above 32 KiB. */
const DATAGRAM_BYTES_MAX = 32_768;

/** Datagrams that are read at a time; the descriptor stays readable while there are more. */
const DATAGRAMS_MAX = 64;

export interface LinkEvent {
  /** New ones are `changed`, too. */
  readonly kind: 'changed' | 'gone';
  readonly index: number;
  readonly name: string;
  /** What is administratively wanted. */
  readonly up: boolean;
  /** Whether frames can pass. */
  readonly carrier: boolean;
  readonly mtu: number;
  readonly mac: MacAddress | undefined;
}

export interface LinkNews {
  /** In the order in which it happened. Of one interface there may be several, also such in which nothing that is here has changed. */
  readonly events: readonly LinkEvent[];
  /** Some events were lost: list all links anew. */
  readonly overrun: boolean;
}

/** How a monitor is fed: the kernel, or a test. Numbers below zero are -errno. */
export interface MonitorCalls extends Pick<NetlinkCalls, 'netlinkReceive'> {
  netlinkSubscribe(fd: number, group: number): number;
}

export class LinkMonitor {
  /** Readable when there is something to read. */
  readonly fd: number;
  readonly #calls: MonitorCalls;
  readonly #datagram: Uint8Array = new Uint8Array(DATAGRAM_BYTES_MAX);

  /** For `monitorLinks`. */
  constructor(fd: number, calls: MonitorCalls) {
    this.fd = fd;
    this.#calls = calls;
  }

  /** What has come since the last time, without waiting. */
  read(): Result<LinkNews> {
    const events: LinkEvent[] = [];
    let overrun = false;
    for (let count = 0; count < DATAGRAMS_MAX; count++) {
      const received = this.#calls.netlinkReceive(this.fd, this.#datagram, 0);
      if (received === -ERRNO.EAGAIN) break;
      if (received === -ERRNO.ENOBUFS || received === -ERRNO.EMSGSIZE) {
        overrun = true;
        continue;
      }
      if (received < 0) {
        return failure(
          'link-monitor-failed',
          `what happens to network interfaces can not be read: ${errnoName(received)}`,
        );
      }
      readEvents(this.#datagram.subarray(0, received), events);
    }
    return success({ events, overrun });
  }
}

/**
 * Listens on a NETLINK_ROUTE socket, which is then for this alone: requests would find events among their answers. The caller owns the descriptor. The namespace is that of
 * the socket, which keeps it alive.
 */
export function monitorLinks(netlinkFd: number, calls: MonitorCalls = loadNative<MonitorCalls>()): Result<LinkMonitor> {
  const result = calls.netlinkSubscribe(netlinkFd, RTNLGRP_LINK);
  if (result === 0) return success(new LinkMonitor(netlinkFd, calls));
  return failure('link-monitor-failed', `the kernel does not tell of its network interfaces: ${errnoName(result)}`);
}

function readEvents(datagram: Uint8Array, events: LinkEvent[]): void {
  for (const message of readMessages(datagram)) {
    const link = readLink(message);
    if (link === undefined) continue;
    const { index, name, up, carrier, mtu, mac } = link;
    events.push({ kind: message.type === DELETE_LINK ? 'gone' : 'changed', index, name, up, carrier, mtu, mac });
  }
}
