/** Published ports: the host's ports that lead to the command. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FAMILIES, type Family, PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab, report } from '../support/netns/lab.ts';
import type { Ended, Program } from '../support/netns/process.ts';

inLab('published ports', (lab) => {
  // covers P17
  for (const family of FAMILIES) {
    it(`somebody on the internet reaches the command over TCP, over IPv${family}`, async () => {
      const program = serve(lab, ['-p', '8080'], 'serve-tcp', '1', '8080');
      await program.says(/^listening/m);
      assert.equal(await callFromNet(lab, family, '8080'), 'hello');
      assert.deepEqual(report(await program.ended), { callers: [PLACES.gateway[family]] });
    });

    it(`somebody on the internet reaches the command over UDP, over IPv${family}`, async () => {
      const program = serve(lab, ['-p', '8080/udp'], 'serve-udp', '1', '8080');
      await program.says(/^listening/m);
      const caller = lab.inNet(lab.nodeProgram('client', 'udp-echo', PLACES.host[family], '8080', '1000'));
      assert.deepEqual(report(await caller.ended), { echoed: true });
      assert.deepEqual(report(await program.ended), { callers: [PLACES.gateway[family]] });
    });

    it(`callers on the host's loopback appear under an address that the command can answer, over IPv${family}`, async () => {
      const program = serve(lab, ['-p', '8080'], 'serve-tcp', '1', '8080');
      await program.says(/^listening/m);
      const loopback = family === 4 ? '127.0.0.1' : '::1';
      const caller = lab.onHost(lab.nodeProgram('client', 'exchange', loopback, '8080', 'hello'));
      assert.equal(report(await caller.ended)['answer'], 'hello');
      const { callers } = report<{ callers: string[] }>(await program.ended);
      assert.notEqual(callers[0], loopback);
    });
  }

  it('a port of the host leads to another port inside', async () => {
    const program = serve(lab, ['-p', '8080:80'], 'serve-tcp', '1', '80');
    await program.says(/^listening/m);
    assert.equal(await callFromNet(lab, 4, '8080'), 'hello');
    assert.equal((await program.ended).status, 0);
  });

  it('a range of ports leads to a range inside', async () => {
    const program = serve(lab, ['-p', '8080-8082:9080'], 'serve-tcp', '3', '9080', '9081', '9082');
    await program.says(/^listening at 9082/m);
    for (const port of ['8080', '8081', '8082']) assert.equal(await callFromNet(lab, 4, port), 'hello');
    assert.equal((await program.ended).status, 0);
  });

  it("port 0 is the kernel's choice, and is printed", async () => {
    const program = serve(lab, ['-q', '-p', '0:80'], 'serve-tcp', '2', '80');
    const [, port] = await program.says(/published .*:(\d+)\/tcp to port 80/);
    await program.says(/^listening/m);
    for (const family of FAMILIES) assert.equal(await callFromNet(lab, family, port!), 'hello');
    assert.equal((await program.ended).status, 0);
  });

  it('a port that is bound to an address is open there only', async () => {
    const program = serve(lab, ['-p', '127.0.0.1:8080:80'], 'serve-tcp', '1', '80');
    await program.says(/^listening/m);
    const outside = lab.inNet(lab.nodeProgram('client', 'connect', PLACES.host[4], '8080'));
    assert.equal(report(await outside.ended)['outcome'], 'ECONNREFUSED');
    const inside = lab.onHost(lab.nodeProgram('client', 'exchange', '127.0.0.1', '8080', 'hello'));
    assert.equal(report(await inside.ended)['answer'], 'hello');
    assert.equal((await program.ended).status, 0);
  });

  it('a caller of a port at which nobody listens inside is refused or reset', async () => {
    const program = lab.start(['run', '-p', '8080', '--', 'sh', '-c', 'echo inside; cat'], { keepInput: true });
    await program.says(/^inside$/m);
    const caller = lab.inNet(lab.nodeProgram('client', 'be-reset', PLACES.host[4], '8080'));
    const ended: Ended = await caller.ended;
    assert.match(ended.stdout + ended.stderr, /ECONNRESET|ECONNREFUSED/);
    program.endInput();
    assert.equal((await program.ended).status, 0);
  });

  it('a published connection is a flow that came in', async () => {
    const flows = lab.newPath('flows');
    const program = serve(lab, ['--flows', flows, '-p', '8080'], 'serve-tcp', '1', '8080');
    await program.says(/^listening/m);
    await callFromNet(lab, 4, '8080');
    await program.ended;
    const [flow] = lab.flows(flows).filter(({ event }) => event === 'close');
    assert.deepEqual([flow?.direction, flow?.remote.address, flow?.guest.port], ['in', PLACES.gateway[4], 8080]);
    assert.deepEqual([flow?.outcome, flow?.bytesIn, flow?.bytesOut], ['closed', 5, 5]);
  });

  it('a port that another program has is an error that says so', async () => {
    const other = lab.onHost(lab.nodeProgram('client', 'serve-tcp', '1', '8080'));
    await other.says(/^listening/m);
    const ran = await lab.run(['-p', '8080'], ['true']);
    assert.equal(ran.status, 125);
    assert.match(ran.stderr, /8080.*another program has it/);
    other.kill('SIGKILL');
    await other.ended;
  });
});

function serve(lab: Lab, options: readonly string[], ...client: string[]): Program {
  return lab.start(['run', ...options, '--', ...lab.client(...client)]);
}

async function callFromNet(lab: Lab, family: Family, port: string): Promise<unknown> {
  const caller = lab.inNet(lab.nodeProgram('client', 'exchange', PLACES.host[family], port, 'hello'));
  return report(await caller.ended)['answer'];
}
