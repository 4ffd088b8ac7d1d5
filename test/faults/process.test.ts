/** Processes end or stop in the middle: the command, Tapster, the peer. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, report } from '../support/netns/lab.ts';
import { Conversation } from './conversation.ts';

const SERVER = PLACES.server[4];
/** As long as one likes; time-outs of TCP's need minutes. */
const STOPPED_MS = Number(process.env['TAPSTER_STOPPED_SECONDS'] ?? 2) * 1000;

inLab('the end of a process', (lab) => {
  it('of the command, by SIGKILL: its connections are closed as by its kernel, and its status is passed on', async () => {
    const told = lab.serverTells('watcher');
    const pipe = lab.newPath('pipe');
    const line = `mkfifo ${pipe}; ${lab.clientText('stay', SERVER, '15')} > ${pipe} & read there < ${pipe}; kill -KILL $!; wait $!`;
    const ran = await lab.runShell([], line);
    assert.equal(ran.status, 137, ran.stderr);
    assert.equal((await told)['end'], 'closed');
  });

  it('of Tapster, by SIGKILL: peers see the end of their connections, and published ports are free again', async () => {
    const talk = await Conversation.begin(lab, ['-p', '8080']);
    assert.equal(await talk.tell(`open a ${SERVER} 15`), 'open');
    const told = lab.serverTells('watcher');
    talk.program.kill('SIGKILL');
    assert.match(String((await told)['end']), /^(closed|ECONNRESET)$/);
    assert.equal((await talk.program.ended).status, 137);
    const again = await lab.run(['-p', '8080'], ['true']);
    assert.equal(again.status, 0, again.stderr);
  });

  it('of a peer, by a reset in the middle of a transfer: that connection is reset, the others go on', async () => {
    const server = lab.inNet([
      process.execPath,
      new URL('./speaker.js', import.meta.url).pathname,
      'reset-after',
      '2000',
      '300000',
    ]);
    await server.says(/^ready$/m);
    const talk = await Conversation.begin(lab);
    assert.equal(await talk.tell(`open other ${SERVER} 7`), 'open');
    assert.equal(await talk.tell(`open a ${SERVER} 2000`), 'open');
    assert.match(await talk.tell('say a 900000'), /^(ECONNRESET|EPIPE)$/);
    assert.equal(await talk.tell('say other 100000'), 'heard');
    assert.equal((await talk.end()).status, 0);
    const { outcome } = talk.closedFlows().find(({ remote }) => remote.port === 2000)!;
    assert.equal(outcome, 'reset');
  });
});

inLab('a pause', (lab) => {
  it('of Tapster (SIGSTOP, SIGCONT): connections, datagrams and callers go on behind it', async () => {
    const talk = await Conversation.begin(lab, ['-p', '8080:7']);
    assert.equal(await talk.tell(`open a ${SERVER} 7`), 'open');
    assert.equal(await talk.tell(`keep ${SERVER} 7 100`), 'heard');
    talk.program.kill('SIGSTOP');
    const spoken = talk.tell('say a 900000');
    const caller = lab.inNet(lab.nodeProgram('client', 'be-reset', PLACES.host[4], '8080'), { timeoutMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
    talk.program.kill('SIGCONT');
    assert.equal(await spoken, 'heard');
    // The reset may come before Node has told of the connection.
    const { stdout, stderr } = await caller.ended;
    assert.match(stdout + stderr, /ECONNRESET/);
    await talk.tellUntil(`open b ${SERVER} 7`, 'open');
    assert.equal(await talk.tell('say b 100000'), 'heard');
    assert.equal(await talk.tell(`keep ${SERVER} 7 100`), 'heard');
    assert.equal((await talk.end()).status, 0);
    const carried = talk.closedFlows().find(({ bytesOut }) => bytesOut === 900_000);
    assert.deepEqual([carried?.bytesIn, carried?.outcome], [900_000, 'closed']);
  });

  it('of the command: what comes meanwhile waits for it', async () => {
    const line = `${lab.clientText('exchange', SERVER, '7', 'hello')} & sleep 0.2; kill -STOP $!; sleep 1; kill -CONT $!; wait $!`;
    const ran = await lab.runShell([], line);
    assert.equal(report(ran)['answer'], 'hello', ran.stderr);
  });
});
