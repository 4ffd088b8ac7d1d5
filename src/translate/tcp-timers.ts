/**
 * When each TCP flow has to be looked at again, although nothing happens: retransmission, window and keep-alive probes, a socket that had no memory.
 *
 * A flow has one timer, the nearest of these. Moving it at each acknowledgement would cost more than the acknowledgement: only `timerMs` is
 * written then, and the wheel, which knows of an earlier moment, asks again when it comes.
 */
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import { FLAG, PHASE, type TcpColumns } from './tcp-columns.ts';
import type { TcpSender } from './tcp-send.ts';

/** As in Linux (tcp(7)): after 2 hours of silence 9 probes, 75 s apart. */
export const KEEPALIVE_IDLE_MS: number = 7_200_000;
export const KEEPALIVE_INTERVAL_MS: number = 75_000;
export const KEEPALIVE_PROBES_MAX: number = 9;

/** A socket that could take nothing for want of memory gets no event when there is some again. */
const BLOCKED_RETRY_MS = 200;

export class TcpTimers {
  readonly #flows: FlowTable;
  readonly #tcp: TcpColumns;
  readonly #sender: TcpSender;
  readonly #wheel: TimerWheel;

  constructor(flows: FlowTable, columns: TcpColumns, sender: TcpSender, wheel: TimerWheel) {
    this.#flows = flows;
    this.#tcp = columns;
    this.#sender = sender;
    this.#wheel = wheel;
  }

  /** Sets the timer to what the flow waits for now. One that runs already is not put off, unless the sender has stopped it. */
  arm(flow: number, nowMs: number): void {
    const deadline = this.#deadline(flow, nowMs);
    const { timerMs, wheelMs } = this.#tcp;
    timerMs[flow] = deadline;
    if (deadline !== 0 && (wheelMs[flow] === 0 || deadline < wheelMs[flow])) this.#setWheel(flow, deadline);
  }

  /** The wheel came round. Returns whether the flow's timer is really due. */
  isDue(flow: number, nowMs: number): boolean {
    this.#tcp.wheelMs[flow] = 0;
    const deadline = this.#tcp.timerMs[flow];
    if (deadline === 0) return false;
    if (deadline <= nowMs) return true;
    this.#setWheel(flow, deadline);
    return false;
  }

  cancel(flow: number): void {
    this.#wheel.cancel(flow);
    this.#tcp.timerMs[flow] = 0;
    this.#tcp.wheelMs[flow] = 0;
  }

  #setWheel(flow: number, deadlineMs: number): void {
    this.#tcp.wheelMs[flow] = deadlineMs;
    this.#wheel.set(flow, deadlineMs);
  }

  #deadline(flow: number, nowMs: number): number {
    const { phase, flags, rtoMs, retries } = this.#tcp;
    // How long connect(2) may take is the host kernel's business: it reports ETIMEDOUT.
    if (phase[flow] === PHASE.CONNECTING) return 0;
    if (phase[flow] !== PHASE.OPEN) return nowMs + rtoMs[flow];
    const waits = this.#sender.outstanding(flow) > 0 || this.#sender.isStalled(flow);
    if (waits) return this.#running(flow, nowMs, rtoMs[flow]);
    if ((flags[flow] & FLAG.HOST_BLOCKED) !== 0) return this.#running(flow, nowMs, BLOCKED_RETRY_MS);
    if ((flags[flow] & FLAG.PROBING) !== 0 && retries[flow] > 0) return nowMs + KEEPALIVE_INTERVAL_MS;
    return this.#flows.activeUs[flow] / 1000 + KEEPALIVE_IDLE_MS;
  }

  /** A flow is looked at for many reasons: that alone does not put off a timer that is running (RFC 6298, section 5). */
  #running(flow: number, nowMs: number, delayMs: number): number {
    const deadline = this.#tcp.timerMs[flow];
    return deadline > nowMs ? Math.min(deadline, nowMs + delayMs) : nowMs + delayMs;
  }
}
