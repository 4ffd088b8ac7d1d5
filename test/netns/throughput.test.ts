/** iperf3 through Tapster: that it works at every size, without losses of our making. How fast it is, is for the benchmarks to say. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab } from '../support/netns/lab.ts';
import { inOneOf } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

const skip = lacking('iperf3');

/** All of these are bounds for one of so many tries: a busy machine may be slow, and late enough that its kernel sends again. */
const TRIES = 5;
/** Any machine does more than that; what stalls or collapses does less. */
const BITS_PER_SECOND_MIN = 100e6;
/** The guest may lose the first window on a busy machine, not one window after the other. */
const RETRANSMITS_MAX = 20;

interface Report {
  readonly error?: string;
  readonly end: {
    readonly sum_sent: { readonly bits_per_second: number; readonly retransmits?: number };
    readonly sum_received: { readonly bits_per_second: number };
    readonly sum?: { readonly bits_per_second: number; readonly lost_percent: number; readonly packets: number };
  };
}

inLab('iperf3', (lab) => {
  // covers P14, V4
  for (const mtu of [65_520, 1500]) {
    for (const streams of [1, 8]) {
      it(`${streams} TCP streams go out at MTU ${mtu}, and next to nothing is sent again`, { skip }, async () => {
        await inOneOf(TRIES, async () => {
          const report = await iperf3(lab, mtu, ['-P', String(streams)]);
          const retransmits = report.end.sum_sent.retransmits!;
          return (
            tooSlow(report) ?? (retransmits > RETRANSMITS_MAX ? `${retransmits} segments were sent again` : undefined)
          );
        });
      });

      it(`${streams} TCP streams come in at MTU ${mtu}`, { skip }, async () => {
        await inOneOf(TRIES, async () => tooSlow(await iperf3(lab, mtu, ['-R', '-P', String(streams)])));
      });
    }

    // covers P13
    for (const [direction, words] of [
      ['go out', []],
      ['come in', ['-R']],
    ] as const) {
      it(`datagrams at 20 Mbit/s ${direction} at MTU ${mtu}`, { skip }, async () => {
        await inOneOf(TRIES, async () => {
          const { end } = await iperf3(lab, mtu, ['-u', '-b', '20M', '-l', '1400', ...words]);
          const { packets, lost_percent: lostPercent } = end.sum!;
          // What a busy machine delays comes in a burst, and the receiver's buffer holds 90 of them: that is not for us to mend.
          return packets > 1000 && lostPercent < 50 ? undefined : `${packets} datagrams, ${lostPercent} % lost`;
        });
      });
    }
  }

  it('TCP streams go both ways over IPv6', { skip }, async () => {
    for (const words of [[], ['-R']]) {
      await inOneOf(TRIES, async () => tooSlow(await iperf3(lab, 65_520, words, PLACES.server[FAMILIES[1]!])));
    }
  });
});

function tooSlow({ end }: Report): string | undefined {
  const { bits_per_second: bitsPerSecond } = end.sum_received;
  return bitsPerSecond > BITS_PER_SECOND_MIN ? undefined : `${bitsPerSecond} bit/s`;
}

async function iperf3(
  lab: Lab,
  mtu: number,
  words: readonly string[],
  server: string = PLACES.server[4],
): Promise<Report> {
  // Unbound it would answer datagrams from another of the net's addresses.
  const listener = lab.inNet(['iperf3', '-s', '-1', '-B', server, '--forceflush']);
  await listener.says(/Server listening/);
  const ran = await lab.run(['--mtu', String(mtu)], ['iperf3', '-c', server, '-J', '-t', '1', ...words]);
  listener.kill('SIGKILL');
  await listener.ended;
  const found = JSON.parse(ran.stdout) as Report;
  assert.equal(found.error, undefined);
  return found;
}
