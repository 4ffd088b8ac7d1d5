/** `--stats`: what the guest's interface has carried, told every so often, if there was anything. */
import type { Engine } from '../../engine/engine.ts';
import { GUEST_INTERFACE } from '../../engine/session-host.ts';

/** Goes on for as long as the program. */
export function tellStatistics(
  engine: Pick<Engine, 'flows' | 'interfaceCounters'>,
  seconds: number,
  tell: (line: string) => void,
): void {
  let last = lineOf(engine);
  const look = (): void => {
    const line = lineOf(engine);
    if (line !== last) tell(line);
    last = line;
  };
  setInterval(look, seconds * 1000).unref();
}

function lineOf(engine: Pick<Engine, 'flows' | 'interfaceCounters'>): string {
  const { rxPackets, rxBytes, txPackets, txBytes, txErrors } = engine.interfaceCounters(GUEST_INTERFACE);
  const lost = txErrors === 0 ? '' : `, ${txErrors} lost`;
  return `${engine.flows.count} flows; from the guest ${rxPackets} frames of ${rxBytes} bytes, to it ${txPackets} of ${txBytes}${lost}`;
}
