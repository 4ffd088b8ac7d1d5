/** Answers to `ping`, as ping(8) shows them. */
import { harmless } from '../../../engine/text.ts';
import type { PingView } from '../../../network/views.ts';

export function pingText({ address, sent, received, replies }: PingView): string {
  const lines = replies.map(({ sequence, from, bytes, rttUs, ttl, error }) => {
    if (rttUs === undefined) return `${harmless(from)}: seq=${sequence} ${harmless(error ?? 'no answer')}`;
    const hops = ttl === undefined ? '' : ` ttl=${ttl}`;
    return `${bytes} bytes from ${harmless(from)}: seq=${sequence}${hops} time=${ms(rttUs)}`;
  });
  const times = replies.flatMap(({ rttUs }) => rttUs ?? []);
  const lost = sent === 0 ? 0 : Math.round(((sent - received) / sent) * 100);
  lines.push(`${harmless(address)}: ${sent} sent, ${received} received, ${lost} % lost${spread(times)}`);
  return `${lines.join('\n')}\n`;
}

function spread(times: readonly number[]): string {
  if (times.length === 0) return '';
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  return `, rtt min/avg/max ${plain(Math.min(...times))}/${plain(mean)}/${ms(Math.max(...times))}`;
}

function ms(us: number): string {
  return `${plain(us)} ms`;
}

function plain(us: number): string {
  return (us / 1000).toFixed(3);
}
