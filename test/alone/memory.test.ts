/**
 * The kernel has no memory for TCP: `tcp_mem` is far below what is in use. Only where it is asked for, since the memory is the whole machine's:
 * `TAPSTER_TEST_ALONE=1 node --test dist/test/alone/memory.test.js`.
 */
import assert from 'node:assert/strict';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { Conversation } from '../faults/conversation.ts';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab } from '../support/netns/lab.ts';
import { eventually } from '../support/netns/process.ts';

const TCP_MEM = '/proc/sys/net/ipv4/tcp_mem';
/** In pages; each socket has a few KiB whatever this says. */
const NOTHING = '1 1 1';
const BYTES = 1_000_000;
/** Nobody else's connections are to fail because of us: set where the machine has nothing else to do. */
const ALONE = process.env['TAPSTER_TEST_ALONE'] === '1';

const skip = refusal();

inLab('memory for TCP', (lab) => {
  for (const family of FAMILIES) {
    const server = PLACES.server[family];

    it(`runs out: streams are slow, and lose nothing, over IPv${family}`, { skip }, async () => {
      const talk = await Conversation.begin(lab);
      assert.equal(await talk.tell(`open old ${server} 7`), 'open');
      assert.equal(await talk.tell('say old 100000'), 'heard');
      // It is one for the whole machine: everybody else's connections are slow as long as this takes.
      const before = readFileSync(TCP_MEM, 'latin1');
      writeFileSync(TCP_MEM, NOTHING);
      let said: Promise<string>;
      try {
        said = talk.tell(`say old ${BYTES}`);
        assert.equal(await talk.tell(`open new ${server} 7`), 'open');
        assert.equal(await talk.tell('say new 20000'), 'heard');
      } finally {
        writeFileSync(TCP_MEM, before);
      }
      assert.match(await said, /^(heard|nothing)$/);
      assert.equal(await talk.tell('close new'), 'closed');
      // The kernels repeat what they had no memory for, ever more rarely: it may take some seconds.
      const closing = talk.tell('close old');
      await eventually('the flow has ended', () => talk.closedFlows().some(({ bytesOut }) => bytesOut > BYTES));
      assert.match(await closing, /^(closed|nothing)$/);
      assert.equal((await talk.end()).status, 0);
      const old = talk.closedFlows().find(({ bytesOut }) => bytesOut > BYTES);
      assert.deepEqual([old?.outcome, old?.bytesOut, old?.bytesIn], ['closed', BYTES + 100_000, BYTES + 100_000]);
    });
  }
});

function refusal(): string | false {
  if (!ALONE) return 'takes memory from the whole machine: set TAPSTER_TEST_ALONE=1';
  try {
    accessSync(TCP_MEM, constants.W_OK);
    return false;
  } catch {
    return `${TCP_MEM} can't be written`;
  }
}
