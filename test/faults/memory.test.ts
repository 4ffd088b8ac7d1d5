/**
 * The kernel has no memory for TCP: `tcp_mem` is far below what is in use. Only where it is asked for, since the memory is the whole machine's:
 * `TAPSTER_TEST_ALONE=1 node --test dist/test/faults/memory.test.js`.
 */
import assert from 'node:assert/strict';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab } from '../support/netns/lab.ts';
import { Conversation } from './conversation.ts';

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
        await untilPressure();
        assert.equal(await talk.tell(`open new ${server} 7`), 'open');
        assert.equal(await talk.tell('say new 20000'), 'heard');
      } finally {
        writeFileSync(TCP_MEM, before);
      }
      assert.match(await said, /^(heard|nothing)$/);
      await talk.tellUntil('say old 1000', 'heard');
      assert.equal(await talk.tell('close new'), 'closed');
      assert.equal(await talk.tell('close old'), 'closed');
      assert.equal((await talk.end()).status, 0);
      const old = talk.closedFlows().find(({ bytesOut }) => bytesOut > BYTES);
      assert.deepEqual([old?.outcome, old?.bytesIn], ['closed', old?.bytesOut]);
    });
  }
});

/** Resolves when the kernel says that TCP has too little memory. */
async function untilPressure(): Promise<void> {
  for (;;) {
    const tcp = readFileSync('/proc/net/protocols', 'latin1')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .find(([name]) => name === 'TCP');
    // Its columns are: name, size, sockets, memory, pressure.
    if (tcp?.[4] === 'yes') return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function refusal(): string | false {
  if (!ALONE) return 'takes memory from the whole machine: set TAPSTER_TEST_ALONE=1';
  try {
    accessSync(TCP_MEM, constants.W_OK);
    return false;
  } catch {
    return `${TCP_MEM} can't be written`;
  }
}
