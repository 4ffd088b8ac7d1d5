import { setTimeout as sleep } from 'node:timers/promises';

/** Only what hangs takes so long, on a slow machine beside other work too. */
const TIMEOUT_MS = 60_000;
const LOOK_MS = 5;

/** Resolves when `condition` holds; fails with `what` when it does not come to hold. For what nobody announces. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`still not so after ${TIMEOUT_MS} ms: ${what}`);
    await sleep(LOOK_MS);
  }
}
