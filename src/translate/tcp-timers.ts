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
    const { timerMs, hostRetryMs, wheelMs } = this.#tcp;
    timerMs[flow] = this.#deadline(flow, nowMs);
    hostRetryMs[flow] = this.#isBlocked(flow) ? sooner(hostRetryMs[flow], nowMs, BLOCKED_RETRY_MS) : 0;
    const nearest = this.#nearest(flow);
    if (nearest !== 0 && (wheelMs[flow] === 0 || nearest < wheelMs[flow])) this.#setWheel(flow, nearest);
  }

  /** The wheel came round. Returns whether anything of the flow's is really due. */
  isDue(flow: number, nowMs: number): boolean {
    this.#tcp.wheelMs[flow] = 0;
    const nearest = this.#nearest(flow);
    if (nearest === 0) return false;
    if (nearest <= nowMs) return true;
    this.#setWheel(flow, nearest);
    return false;
  }

  /** Whether the guest has kept us waiting for long enough. */
  isGuestDue(flow: number, nowMs: number): boolean {
    return isPast(this.#tcp.timerMs[flow], nowMs);
  }

  /** Whether the host's socket is to be tried again. */
  isHostDue(flow: number, nowMs: number): boolean {
    return isPast(this.#tcp.hostRetryMs[flow], nowMs);
  }

  /** Frames of the flow waited with us until now: the guest's time to answer begins anew, and how long it took says nothing of the way. */
  restart(flow: number): void {
    this.#tcp.timerMs[flow] = 0;
    this.#tcp.timedSinceUs[flow] = 0;
  }

  cancel(flow: number): void {
    this.#wheel.cancel(flow);
    this.#tcp.timerMs[flow] = 0;
    this.#tcp.hostRetryMs[flow] = 0;
    this.#tcp.wheelMs[flow] = 0;
  }

  #setWheel(flow: number, deadlineMs: number): void {
    this.#tcp.wheelMs[flow] = deadlineMs;
    this.#wheel.set(flow, deadlineMs);
  }

  #nearest(flow: number): number {
    const { timerMs, hostRetryMs } = this.#tcp;
    if (timerMs[flow] === 0 || hostRetryMs[flow] === 0) return timerMs[flow] + hostRetryMs[flow];
    return Math.min(timerMs[flow], hostRetryMs[flow]);
  }

  #isBlocked(flow: number): boolean {
    return this.#tcp.phase[flow] === PHASE.OPEN && (this.#tcp.flags[flow] & FLAG.HOST_BLOCKED) !== 0;
  }

  /** Towards the guest. */
  #deadline(flow: number, nowMs: number): number {
    const { phase, flags, rtoMs, retries, timerMs } = this.#tcp;
    // How long connect(2) may take is the host kernel's business: it reports ETIMEDOUT.
    if (phase[flow] === PHASE.CONNECTING) return 0;
    if (phase[flow] !== PHASE.OPEN) return nowMs + rtoMs[flow];
    const waits = this.#sender.outstanding(flow) > 0 || this.#sender.isStalled(flow);
    // A flow is looked at for many reasons: that alone does not put off a timer that is running (RFC 6298, section 5).
    if (waits) return sooner(timerMs[flow], nowMs, rtoMs[flow]);
    // A guest that has ended its side may be gone by right: nobody asks after it as long as bytes of it wait for the host.
    if (this.#isBlocked(flow) && (flags[flow] & FLAG.GUEST_FIN) !== 0) return 0;
    if ((flags[flow] & FLAG.PROBING) !== 0 && retries[flow] > 0) {
      return sooner(timerMs[flow], nowMs, KEEPALIVE_INTERVAL_MS);
    }
    return this.#flows.activeUs[flow] / 1000 + KEEPALIVE_IDLE_MS;
  }
}

function isPast(deadlineMs: number, nowMs: number): boolean {
  return deadlineMs !== 0 && deadlineMs <= nowMs;
}

/** A deadline that is still to come, or one in `delayMs`, whichever is sooner. */
function sooner(deadlineMs: number, nowMs: number, delayMs: number): number {
  return deadlineMs > nowMs ? Math.min(deadlineMs, nowMs + delayMs) : nowMs + delayMs;
}
