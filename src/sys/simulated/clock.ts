/** Time that only moves when told to, and what is to happen at a given moment. Equal moments happen in the order they were asked for. */

interface Appointment {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Stands for an appointment that may be cancelled. */
export type AppointmentId = number;

export class SimulatedClock {
  #nowUs: number;
  #order = 0;
  /** A binary heap by (atUs, order). */
  readonly #heap: Appointment[] = [];
  readonly #cancelled = new Set<AppointmentId>();

  constructor(nowUs: number) {
    this.#nowUs = nowUs;
  }

  get nowUs(): number {
    return this.#nowUs;
  }

  /** Calls `run` `delayUs` from now, never before the current call returns. */
  after(delayUs: number, run: () => void): AppointmentId {
    const appointment = { atUs: this.#nowUs + Math.max(0, delayUs), order: ++this.#order, run };
    this.#push(appointment);
    return appointment.order;
  }

  /** Only for an appointment that has not happened yet. */
  cancel(id: AppointmentId): void {
    this.#cancelled.add(id);
  }

  /** When the next thing happens, or Infinity. */
  nextUs(): number {
    this.#dropCancelled();
    return this.#heap[0]?.atUs ?? Number.POSITIVE_INFINITY;
  }

  /** Moves time on and does all that is due on the way, each thing at its own time. */
  advance(us: number): void {
    const target = this.#nowUs + us;
    while (this.nextUs() <= target) {
      const appointment = this.#pop();
      this.#nowUs = Math.max(this.#nowUs, appointment.atUs);
      appointment.run();
    }
    this.#nowUs = target;
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#cancelled.delete(this.#heap[0]!.order)) this.#pop();
  }

  #push(appointment: Appointment): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(appointment);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!earlier(appointment, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = appointment;
  }

  #pop(): Appointment {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++;
      if (!earlier(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function earlier(a: Appointment, b: Appointment): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}
