/** Traced packets for people and programs, with interfaces by name. */
import { decisionText, type TraceRecord } from '../graph/trace.ts';
import type { TraceView } from './views.ts';

export function traceViews(
  records: readonly TraceRecord[],
  nameOf: (interfaceIndex: number) => string | undefined,
): TraceView[] {
  return records.map(({ number, rxInterface, frameBytes, hops, hopsLeftOut }) => {
    const name = rxInterface < 0 ? undefined : (nameOf(rxInterface) ?? `interface ${rxInterface}, which has gone`);
    return {
      number,
      ...(name === undefined ? {} : { interface: name }),
      frameBytes,
      hops: hops.map(({ node, atUs, text, decision }) => ({
        node,
        atUs,
        text: withNames(text, nameOf),
        decision: decisionText(decision),
      })),
      hopsLeftOut,
    };
  });
}

/** Nodes know interfaces by their number. */
function withNames(text: string, nameOf: (interfaceIndex: number) => string | undefined): string {
  return text.replace(/\binterface (\d+)\b/g, (number, index: string) => nameOf(Number(index)) ?? number);
}
