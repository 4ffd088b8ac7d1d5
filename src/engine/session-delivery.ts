/**
 * The end of a session: a program that has exited leaves its last bytes to the kernel, and they must arrive. Our part of that kernel works on until they have.
 */
import type { TcpTranslate } from '../translate/tcp.ts';
import type { SessionHooks } from './session-host.ts';

export interface DeliveryPatience {
  /** How often we look. */
  readonly lookMs: number;
  /** A host that takes nothing for so long is given up. */
  readonly withoutProgressMs: number;
  /** Without held bytes only the guest's own kernel can have some left: it sends them, and its FIN, at once, or has none. */
  readonly withoutHeldMs: number;
}

const PATIENCE: DeliveryPatience = { lookMs: 20, withoutProgressMs: 5000, withoutHeldMs: 300 };

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
  let movedAt = performance.now();
  while (left.flows > 0 && !stop) {
    await new Promise((resolve) => setTimeout(resolve, patience.lookMs));
    const now = tcp.undelivered();
    const moved = now.flows !== left.flows || now.bytes !== left.bytes || now.acceptedBytes !== left.acceptedBytes;
    if (moved) movedAt = performance.now();
    left = now;
    const patienceMs = left.bytes > 0 ? patience.withoutProgressMs : patience.withoutHeldMs;
    if (performance.now() - movedAt > patienceMs) break;
  }
  if (left.bytes > 0) {
    hooks.log('warning', `${left.bytes} bytes that the command sent were not taken by the hosts that it sent them to`);
  }
}
