/**
 * Links whose other side takes no frames for now, and with them the flows to whoever is behind these.
 *
 * A link that can't get rid of frames (a stream socket or a virtqueue of a machine that does not read) keeps some in a bounded queue of its own, and is congested until that is
 * empty. Frames that are forwarded to it meanwhile are queued as long as there is room and dropped beyond it, as by any switch. Flows are not: what they have for their guests
 * is left with the host's sockets, where the sender's own flow control feels it.
 *
 * What the kernel keeps in a stream socket's own buffer counts as on its way, as what a network card has been given: of flows whose guests have no window for more than that, a time-out
 * finds their frames late, and sends some again.
 *
 * Which link a flow's frames leave by is not always that of its interface: a sub-interface leaves by its parent, a bridge's own leg by the member behind which the guest's station
 * is. So flows are asked for by the station that they go to, and others on the same bridge are not held up. Why it is so: docs/decisions/0030.
 */
import { grown } from '../base/column.ts';
import type { FlowTable } from './flow-table.ts';

/** The link that frames to a station leave by, which an interface sends. */
export type LinkTowards = (interfaceIndex: number, macHigh: number, macLow: number) => number;

/** There is none. */
export const NO_LINK = -1;

export class Congestion {
  readonly #flows: FlowTable;
  readonly #linkTowards: LinkTowards;
  #congested: Uint8Array = new Uint8Array(16);
  #count: number = 0;

  constructor(flows: FlowTable, linkTowards: LinkTowards) {
    this.#flows = flows;
    this.#linkTowards = linkTowards;
  }

  /** The congested link that frames of a flow to its guest leave by, or `NO_LINK`. */
  linkHolding(flow: number): number {
    if (this.#count === 0) return NO_LINK;
    const flows = this.#flows;
    const link = this.#linkTowards(flows.interfaceIndex(flow), flows.macHigh[flow], flows.macLow[flow]);
    return this.isCongested(link) ? link : NO_LINK;
  }

  isCongested(link: number): boolean {
    return link < this.#congested.length && this.#congested[link] === 1;
  }

  set(link: number, congested: boolean): void {
    if (link >= this.#congested.length) this.#congested = grown(this.#congested, new Uint8Array(link * 2));
    if (this.isCongested(link) === congested) return;
    this.#congested[link] = congested ? 1 : 0;
    this.#count += congested ? 1 : -1;
  }
}
