/** Interfaces whose other side takes no frames for now: flows leave what they have for its guests with the host's sockets meanwhile. */
import { grown } from '../base/column.ts';

export class Congestion {
  #congested: Uint8Array = new Uint8Array(16);
  #count: number = 0;

  isCongested(interfaceIndex: number): boolean {
    return this.#count > 0 && this.#congested[interfaceIndex] === 1;
  }

  set(interfaceIndex: number, congested: boolean): void {
    if (interfaceIndex >= this.#congested.length) {
      this.#congested = grown(this.#congested, new Uint8Array(interfaceIndex * 2));
    }
    if (this.isCongested(interfaceIndex) === congested) return;
    this.#congested[interfaceIndex] = congested ? 1 : 0;
    this.#count += congested ? 1 : -1;
  }
}
