/** The descriptor limit is reached: new flows are refused, and the flow log says so; those that stand go on; and it passes. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { it } from 'node:test';
import { FAMILIES, PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab } from '../support/netns/lab.ts';
import { execute } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { USER_ID, type User } from '../support/netns/user.ts';
import { Conversation } from './conversation.ts';

const skip = lacking('prlimit', 'setpriv');

inLab('a descriptor limit', (lab) => {
  for (const family of FAMILIES) {
    const server = PLACES.server[family];

    it(`refuses new connections, keeps the others, and passes, over IPv${family}`, { skip }, async () => {
      const talk = await Conversation.begin(lab);
      assert.equal(await talk.tell(`open old ${server} 7`), 'open');
      await allowMore(lab, talk.program.pid, 2);
      assert.equal(await talk.tell(`open second ${server} 7`), 'open');
      assert.equal(await talk.tell(`open third ${server} 7`), 'open');
      assert.equal(await talk.tell(`open fourth ${server} 7`), 'ECONNREFUSED');
      // Told by ICMP as an unreachable host, which Linux does not pass on to sockets that did not ask for it.
      assert.equal(await talk.tell(`briefly udp ${server} 7 100`), 'silence');
      assert.equal(await talk.tell('say old 100000'), 'heard');
      assert.equal(await talk.tell('close second'), 'closed');
      await talk.tellUntil(`open fifth ${server} 7`, 'open');
      assert.equal(await talk.tell('say fifth 100000'), 'heard');
      assert.equal((await talk.end()).status, 0);
      const failed = talk.closedFlows().filter(({ outcome }) => outcome === 'failed');
      assert.deepEqual([...new Set(failed.map(({ protocol }) => protocol))].sort(), ['tcp', 'udp']);
    });
  }

  it('lets callers of a published port wait until there is a descriptor', { skip }, async () => {
    const server = PLACES.server[4];
    const talk = await Conversation.begin(lab, ['-p', '8080:7']);
    assert.equal(await talk.tell(`open one ${server} 7`), 'open');
    await allowMore(lab, talk.program.pid, 0);
    // Nobody listens inside: whoever is accepted is reset.
    const caller = lab.inNet(lab.nodeProgram('client', 'be-reset', PLACES.host[4], '8080'));
    const before = await Promise.race([caller.ended.then(() => 'answered'), talk.tell('say one 1000')]);
    assert.equal(before, 'heard');
    assert.equal(await talk.tell('close one'), 'closed');
    // The reset may come before Node has told of the connection.
    const { stdout, stderr } = await caller.ended;
    assert.match(stdout + stderr, /ECONNRESET/);
    assert.equal((await talk.end()).status, 0);
  });
});

/** Sets the limit such that a running process may open so many more descriptors. */
async function allowMore(lab: Lab, pid: number, count: number): Promise<void> {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < count || used.has(limit); limit++) if (!used.has(limit)) free++;
  // Whoever is the same user may; root would need a capability.
  const { status, stderr } = await execute([
    ...asOwner(lab.user),
    'prlimit',
    '--pid',
    String(pid),
    `--nofile=${limit}:${limit}`,
  ]);
  assert.equal(status, 0, stderr);
}

function asOwner(user: User): readonly string[] {
  return user === 'root' ? [] : ['setpriv', '--reuid', `${USER_ID}`, '--regid', `${USER_ID}`, '--clear-groups'];
}
