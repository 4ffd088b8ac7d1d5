/** What must hold after every turn of the engine, whatever happens around it. */
import type { Engine } from '#tapster/engine/engine.js';
import type { Journey } from './journey.ts';
import type { WorldSys } from './world-sys.ts';

const TCP = 6;

export class Invariants {
  readonly #sys: WorldSys;
  readonly #engine: Engine;
  readonly #journeys: readonly Journey[];
  readonly #heldBytesMax: number;
  /** Descriptors that the engine has without any flow. */
  readonly #own: number;

  /** At this moment there is no flow yet. */
  constructor(sys: WorldSys, engine: Engine, journeys: readonly Journey[], heldBytesMax: number) {
    this.#sys = sys;
    this.#engine = engine;
    this.#journeys = journeys;
    this.#heldBytesMax = heldBytesMax;
    this.#own = sys.openDescriptors().length - this.#datagramSockets();
  }

  /** The first thing that is wrong, or undefined. */
  broken(): string | undefined {
    const { flows, tcp, timers } = this.#engine;
    for (const journey of this.#journeys) if (journey.brokenNow !== undefined) return journey.brokenNow;
    if (timers > flows.count) return `${timers} timers for ${flows.count} flows`;
    if (tcp.heldBytes > this.#heldBytesMax) return `${tcp.heldBytes} bytes are held, more than ${this.#heldBytesMax}`;
    if (flows.count === 0 && tcp.heldBytes > 0) return `${tcp.heldBytes} bytes are held for nobody`;
    return this.#brokenAccounts() ?? this.#leakedDescriptors();
  }

  /** A byte that was acknowledged to the guest is with the host's socket, or held, as long as the conversation stands. */
  #brokenAccounts(): string | undefined {
    let heldBytes = 0;
    for (const { peer, acceptedBytes } of this.#journeys) {
      if (peer === undefined) continue;
      const { takenBytes, isClosed, endedInOrder } = this.#sys.account(peer);
      if (endedInOrder && acceptedBytes > takenBytes)
        return `ended with ${acceptedBytes - takenBytes} bytes undelivered`;
      if (!isClosed && peer.state === 'connected') heldBytes += Math.max(0, acceptedBytes - takenBytes);
    }
    const { heldBytes: held } = this.#engine.tcp;
    return heldBytes > held ? `${heldBytes} accepted bytes are nowhere; ${held} are held` : undefined;
  }

  #leakedDescriptors(): string | undefined {
    const { flows } = this.#engine;
    let wanted = this.#own + this.#datagramSockets();
    for (let flow = 0; flow < flows.max; flow++) {
      if (flows.state[flow] !== 0 && flows.protocol(flow) === TCP && flows.hostFd[flow] !== -1) wanted++;
    }
    const open = this.#sys.openDescriptors();
    return open.length === wanted
      ? undefined
      : `${open.length} descriptors are open, for ${wanted} uses: ${open.join(', ')}`;
  }

  #datagramSockets(): number {
    return this.#engine.udp.sockets.count + this.#engine.icmp.sockets.count;
  }
}
