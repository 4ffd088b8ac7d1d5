/** A tap that root made for a user: opened, read and sent to without any privilege. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { openTap } from 'tapster';
import { whyNoInternet } from '../support/netns/internet.ts';
import { execute } from '../support/netns/process.ts';
import { asUser, checkoutPath, environmentOf, nodeOf, USER_ID } from '../support/netns/user.ts';

const NAMESPACE = `tapster-test-${process.pid}-owned`;

describe('an ordinary user', { skip: whyNoInternet() ?? false }, () => {
  before(() => {
    spawnSync('ip', ['netns', 'add', NAMESPACE]);
  });
  after(() => {
    spawnSync('ip', ['netns', 'del', NAMESPACE]);
  });

  it('opens a tap of his own, reads and sends', async () => {
    const made = await openTap({
      ...{ name: 'mine0', namespace: NAMESPACE, persist: true, owner: USER_ID, addresses: ['10.4.0.1/24'] },
    });
    made.close();
    const { status, stdout, stderr } = await script(`
      const tap = await openTap({ name: 'mine0', attach: true, offload: 'gso' });
      tap.setCarrier(false); tap.setCarrier(true);
      for await (const batch of tap) { console.log(tap.send(batch) === batch.count); break; }`);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'true\n');
  });

  it('is told what to do where he may not', async () => {
    const { stdout } = await script(`
      for (const options of [{}, { name: 'root0', attach: true }, { name: 'mine0', attach: true, mtu: 1400 }]) {
        await openTap(options).catch((error) => console.log(error.code, error.message));
      }`);
    const [make, attach, change] = stdout.split('\n');
    assert.match(make ?? '', /^tap-denied .*CAP_NET_ADMIN/);
    assert.match(attach ?? '', /^tap-attach-missing /);
    assert.match(change ?? '', /^host-tap-mtu-failed .*EPERM/);
  });
});

function script(text: string) {
  const library = checkoutPath('user', 'dist/library/index.js');
  const words = [nodeOf('user'), '--input-type=module', '-e', `import { openTap } from '${library}';${text}`];
  return execute(['ip', 'netns', 'exec', NAMESPACE, ...asUser('user'), ...words], {
    env: environmentOf('user'),
    cwd: '/',
  });
}
