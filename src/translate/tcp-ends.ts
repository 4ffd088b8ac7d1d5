/** How TCP flows end: what either side is told, and what is given back. */
import { type FlowTable, OUTCOME } from '../flow/flow-table.ts';
import type { FlowObserver } from '../flow/policy.ts';
import { SO, SOL } from '../sys/options.ts';
import { type Sys, TCP_INFO_WORDS } from '../sys/sys.ts';
import * as tcp from '../wire/tcp.ts';
import { PHASE, type TcpColumns } from './tcp-columns.ts';
import type { TcpDeps } from './tcp-deps.ts';
import type { DirtyFlows } from './tcp-dirty.ts';
import type { TcpReceiver } from './tcp-receive.ts';
import type { TcpSegments } from './tcp-segments.ts';
import type { TcpTimers } from './tcp-timers.ts';

/** The parts of TCP translation that keep something of a flow. */
export interface TcpParts {
  readonly columns: TcpColumns;
  readonly segments: TcpSegments;
  readonly receiver: TcpReceiver;
  readonly timers: TcpTimers;
  readonly dirty: DirtyFlows;
}

export class TcpEnds {
  readonly #sys: Sys;
  readonly #flows: FlowTable;
  readonly #observer: FlowObserver;
  readonly #tcp: TcpColumns;
  readonly #segments: TcpSegments;
  readonly #receiver: TcpReceiver;
  readonly #timers: TcpTimers;
  readonly #dirty: DirtyFlows;
  readonly #info: Int32Array = new Int32Array(TCP_INFO_WORDS);

  constructor(deps: TcpDeps, parts: TcpParts) {
    this.#sys = deps.sys;
    this.#flows = deps.flows;
    this.#observer = deps.observer;
    this.#tcp = parts.columns;
    this.#segments = parts.segments;
    this.#receiver = parts.receiver;
    this.#timers = parts.timers;
    this.#dirty = parts.dirty;
  }

  /** Closes the host's socket and forgets the flow. */
  close(flow: number, outcome: number): void {
    const flows = this.#flows;
    const fd = flows.hostFd[flow];
    if (fd !== -1) {
      if (this.#sys.tcpInfo(fd, this.#info) === 0 && this.#info[1] > 0) flows.rttUs[flow] = this.#info[1];
      this.#sys.close(fd);
      flows.hostFd[flow] = -1;
    }
    this.#receiver.release(flow);
    this.#timers.cancel(flow);
    flows.outcome[flow] = outcome;
    if (this.#tcp.phase[flow] === PHASE.CONNECTING) this.#observer.opened(flow);
    this.#tcp.phase[flow] = PHASE.NONE;
    this.#dirty.clear(flow);
    this.#observer.closed(flow);
    flows.remove(flow);
  }

  /** The same, with a RST for the host. */
  abort(flow: number, outcome: number): void {
    this.#sys.setOption(this.#flows.hostFd[flow], SOL.SOCKET, SO.LINGER, 0);
    this.close(flow, outcome);
  }

  /** The guest does not answer: both ends are told. */
  guestGone(flow: number): void {
    const hasSpoken = this.#tcp.phase[flow] !== PHASE.SYN_SENT;
    this.#segments.control(flow, hasSpoken ? tcp.RST | tcp.ACK : tcp.RST, this.#tcp.sndNxt[flow]);
    this.abort(flow, OUTCOME.timeout);
  }

  /** The host's socket has failed, and the guest has had all that it still held. */
  hostGone(flow: number): void {
    this.#segments.control(flow, tcp.RST | tcp.ACK, this.#tcp.sndNxt[flow]);
    this.close(flow, OUTCOME.reset);
  }
}
