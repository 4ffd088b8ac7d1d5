import assert from 'node:assert/strict';
import { closeSync, mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { LinuxSys } from './linux.ts';
import { watchNamespaceEnd } from './namespace-end.ts';
import { type NetworkNamespace, openNetworkNamespace } from './namespace-path.ts';
import { inOwnNamespace, ip, openDescriptors, startContainer, unwrap } from './own-namespace-fixture.test.ts';

const sys = new LinuxSys();

/** Resolves when the namespace has ended. */
function endOf(namespace: NetworkNamespace): Promise<void> {
  return new Promise((ended) => unwrap(watchNamespaceEnd(sys, namespace, ended)));
}

inOwnNamespace(import.meta.url, 'the end of a network namespace', () => {
  test('is that of the process that it was named by', async (t) => {
    const container = await startContainer(t);
    const namespace = unwrap(openNetworkNamespace(container.text));
    const ended = endOf(namespace);
    container.process.kill('SIGKILL');
    await ended;
    closeSync(namespace.fd);
  });

  test('is told also of a process that has ended before', async (t) => {
    const container = await startContainer(t);
    const namespace = unwrap(openNetworkNamespace(container.text));
    const gone = new Promise((resolve) => container.process.once('exit', resolve));
    container.process.kill('SIGKILL');
    await gone;
    await endOf(namespace);
    closeSync(namespace.fd);
  });

  test('is when its path goes, whatever else happens in the folder', async () => {
    ip('netns', 'add', 'green');
    const namespace = unwrap(openNetworkNamespace('/run/netns/green'));
    let over = false;
    const ended = endOf(namespace).then(() => {
      over = true;
    });
    mkdirSync('/run/netns/other');
    ip('netns', 'add', 'greens');
    ip('netns', 'delete', 'greens');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(over, false);
    ip('netns', 'delete', 'green');
    await ended;
    closeSync(namespace.fd);
  });

  test('a watch that was closed says nothing more, and leaves nothing open', async (t) => {
    const container = await startContainer(t);
    const namespace = unwrap(openNetworkNamespace(container.text));
    const before = openDescriptors();
    const watch = unwrap(watchNamespaceEnd(sys, namespace, () => assert.fail('it was closed')));
    watch.close();
    watch.close();
    assert.equal(openDescriptors(), before);
    const gone = new Promise((resolve) => container.process.once('exit', resolve));
    container.process.kill('SIGKILL');
    await gone;
    closeSync(namespace.fd);
  });
});
