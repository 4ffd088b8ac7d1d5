/**
 * The end of a session: a program that has exited leaves its last bytes to the kernel, and they must arrive. Our part of that kernel works on until they have.
 */
import type { TcpTranslate } from '../translate/tcp.ts';
import type { SessionHooks } from './session-host.ts';

/**
 * Counted in looks, between which the engine has had its turn, and not by the clock: on a machine that did not let us run for a while, the time is over before what came
 * meanwhile was read.
 */
export interface DeliveryPatience {
  /** How long from look to look. */
  readonly lookMs: number;
  /** A host that takes nothing for so many looks is given up. */
  readonly looksWithoutProgress: number;
  /** Without held bytes only the guest's own kernel can have some left: it sends them, and its FIN, at once, or has none. */
  readonly looksWithoutHeld: number;
}

/** Five seconds, and 300 ms. */
const PATIENCE: DeliveryPatience = { lookMs: 20, looksWithoutProgress: 250, looksWithoutHeld: 15 };

/** Resolves when all that the guest sent is with the host's kernel, when nothing moves any more, or when `interrupted` does. */
export async function waitUntilDelivered(
  tcp: Pick<TcpTranslate, 'undelivered'>,
  interrupted: Promise<void>,
  hooks: Pick<SessionHooks, 'log'>,
  patience: DeliveryPatience = PATIENCE,
): Promise<void> {
  let stop = false;
  void interrupted.then(() => {
    stop = true;
  });
  // One that is interrupted already is known to be so now.
  await Promise.resolve();
  let left = tcp.undelivered();
  let idleLooks = 0;
  while (left.flows > 0 && !stop) {
    await new Promise((resolve) => setTimeout(resolve, patience.lookMs));
    const now = tcp.undelivered();
    const moved = now.flows !== left.flows || now.bytes !== left.bytes || now.acceptedBytes !== left.acceptedBytes;
    idleLooks = moved ? 0 : idleLooks + 1;
    left = now;
    const looksMax = left.bytes > 0 ? patience.looksWithoutProgress : patience.looksWithoutHeld;
    if (idleLooks >= looksMax) break;
  }
  if (left.bytes > 0) {
    hooks.log('warning', `${left.bytes} bytes that the command sent were not taken by the hosts that it sent them to`);
  }
}
