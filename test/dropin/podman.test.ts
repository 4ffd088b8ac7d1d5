/** Podman, which starts slirp4netns for containers of ordinary users, and finds Tapster in its place. */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab } from '../support/netns/lab.ts';
import { lacking } from '../support/netns/programs.ts';
import { ContainerEngine } from './container-engine.ts';

const BODY_BYTES = 20_000_000;
const skip = lacking('podman', 'crun', 'busybox');

inLab('podman', (lab) => {
  let containers: ContainerEngine;

  before(() => {
    containers = new ContainerEngine(lab);
  });

  it('a container asks the resolvers of the host, and reaches the internet', { skip }, async () => {
    const script = 'nslookup www.test && wget -q -O - http://www.test/';
    const ended = await containers.run(['--network=slirp4netns'], ['sh', '-c', script]).ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(ended.stdout, /hello from the internet/);
  });

  it('what a container receives arrives whole', { skip }, async () => {
    const url = `http://${PLACES.server[4]}/bytes/${BODY_BYTES}`;
    const [inside, outside] = await Promise.all([
      containers.run(['--network=slirp4netns'], ['sh', '-c', `wget -q -O - ${url} | sha256sum`]).ended,
      lab.inNet(['sh', '-c', `curl -s ${url} | sha256sum`]).ended,
    ]);
    assert.equal(inside.stdout, outside.stdout, inside.stderr);
  });

  it('what a container sends arrives whole', { skip }, async () => {
    const make = `head -c ${BODY_BYTES} /dev/urandom > /tmp/body && sha256sum /tmp/body`;
    const script = `${make} && { echo {}; cat /tmp/body; } | nc ${PLACES.server[4]} 9`;
    const { stdout, stderr } = await containers.run(['--network=slirp4netns'], ['sh', '-c', script]).ended;
    const [sent = '', received = ''] = stdout.split('\n');
    const { bytes, sha256 } = JSON.parse(received) as { bytes: number; sha256: string };
    assert.deepEqual([bytes, sha256], [BODY_BYTES, sent.split(' ')[0]], stderr);
  });

  for (const handler of ['rootlesskit', 'slirp4netns']) {
    it(`a published port leads to the container, by ${handler}`, { skip }, async () => {
      const options = [`--network=slirp4netns:port_handler=${handler}`, '-p', '8080:80', '--interactive'];
      const script = 'httpd -p 80 -h /www && echo up && cat';
      const container = containers.run(options, ['sh', '-c', script], { keepInput: true });
      await container.says(/^up$/m);
      assert.equal(await fetched(lab.inNet, `http://${PLACES.host[4]}:8080/`), 'hello from the container\n');
      assert.equal(await fetched(lab.onHost, 'http://127.0.0.1:8080/'), 'hello from the container\n');
      container.endInput();
      assert.equal((await container.ended).status, 0, container.stderr);
    });
  }

  async function fetched(on: Lab['inNet'], url: string): Promise<string> {
    return (await on.call(lab, ['curl', '-s', url]).ended).stdout;
  }
});
