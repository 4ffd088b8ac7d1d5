/** rootlesskit, below rootless Docker, which starts slirp4netns with a TAP that is there already and speaks to its API for published ports. */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab } from '../support/netns/lab.ts';
import type { Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { ContainerEngine } from './container-engine.ts';

const skip = lacking('rootlesskit', 'busybox');

inLab('rootlesskit', define, { users: ['user'] });

function define(lab: Lab): void {
  let containers: ContainerEngine;

  before(() => {
    containers = new ContainerEngine(lab);
  });

  function start(options: readonly string[], script: string): Program {
    const network = [
      '--net=slirp4netns',
      `--slirp4netns-binary=${containers.slirp4netns}`,
      '--mtu=65520',
      '--disable-host-loopback',
    ];
    const words = ['rootlesskit', ...network, '--copy-up=/etc', ...options, 'sh', '-c', script];
    return containers.start(words, { keepInput: true });
  }

  it('its child asks the resolvers of the host, and reaches the internet', { skip }, async () => {
    const ended = await start([], 'busybox nslookup www.test && curl -s http://www.test/').ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(ended.stdout, /hello from the internet/);
  });

  for (const driver of ['builtin', 'slirp4netns']) {
    it(`a published port leads to its child, by the port driver ${driver}`, { skip }, async () => {
      const script = `cd ${containers.www} && busybox httpd -p 80 && echo up && cat`;
      const child = start([`--port-driver=${driver}`, '-p', '0.0.0.0:8080:80/tcp'], script);
      await child.says(/^up$/m);
      const fetched = await lab.inNet(['curl', '-s', `http://${PLACES.host[4]}:8080/`]).ended;
      assert.equal(fetched.stdout, 'hello from the container\n', child.stderr);
      child.endInput();
      assert.equal((await child.ended).status, 0, child.stderr);
    });
  }
}
