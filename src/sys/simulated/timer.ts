/** timerfd_create(2): readable from its moment on until it is read or set anew; a read gives how often it went off, as 64 bits. */
import { ERRNO } from '../errno.ts';
import { POLL } from '../sys.ts';
import type { AppointmentId, SimulatedClock } from './clock.ts';
import { Descriptor } from './poll.ts';

const COUNT_BYTES = 8;

export class Timer extends Descriptor {
  readonly kind = 'timer';
  readonly #clock: SimulatedClock;
  #appointment: AppointmentId | undefined = undefined;
  #expired = false;

  constructor(clock: SimulatedClock) {
    super();
    this.#clock = clock;
  }

  set(delayUs: number): number {
    if (delayUs < 0) return -ERRNO.EINVAL;
    this.close();
    if (delayUs === 0) return 0;
    this.#appointment = this.#clock.after(delayUs, () => {
      this.#appointment = undefined;
      this.#expired = true;
      this.wake(POLL.IN);
    });
    return 0;
  }

  override readiness(): number {
    return this.#expired ? POLL.IN : 0;
  }

  override read(target: Uint8Array): number {
    if (target.length < COUNT_BYTES) return -ERRNO.EINVAL;
    if (!this.#expired) return -ERRNO.EAGAIN;
    this.#expired = false;
    target.fill(0, 0, COUNT_BYTES);
    target[0] = 1;
    return COUNT_BYTES;
  }

  override close(): void {
    if (this.#appointment !== undefined) this.#clock.cancel(this.#appointment);
    this.#appointment = undefined;
    this.#expired = false;
  }
}
