import assert from 'node:assert/strict';
import { type SpawnSyncOptionsWithStringEncoding, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  isSameNamespace,
  namespaceOfSocket,
  openInside,
  openNetworkNamespace,
  openUserNamespace,
  writeSysctlsInside,
} from './namespace-path.ts';
import { findLink, listLinks } from './netlink/link.ts';
import { Netlink } from './netlink/socket.ts';
import { failed, inOwnNamespace, ip, openDescriptors, startContainer, unwrap } from './own-namespace-fixture.test.ts';

/** Descriptor 3 is a namespace of root's. */
const NOBODY = `
  import { spawn } from 'node:child_process';
  const { openInside, openNetworkNamespace } = await import(process.argv[1]);
  const say = (result) => (result.ok ? 'opened' : result.failure.code);
  const child = spawn('unshare', ['--user', '--net', 'sh', '-c', 'echo; exec sleep 9'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => child.once('exit', reject).stdout.once('data', resolve));
  const own = openNetworkNamespace('pid:' + child.pid);
  console.log(JSON.stringify({ roots: say(openInside(3)), own: own.ok ? say(openInside(own.value.fd)) : own.failure.code }));
  child.removeAllListeners('exit').kill('SIGKILL');
`;

/** For a program that has the namespace as its descriptor 3. */
function insideOf(fd: number): SpawnSyncOptionsWithStringEncoding {
  return { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit', fd] };
}

inOwnNamespace(import.meta.url, 'network namespaces by name, path and process', () => {
  test('a name, its path and a process lead to an open descriptor', async (t) => {
    ip('netns', 'add', 'blue');
    const blue = unwrap(openNetworkNamespace('blue'));
    const path = unwrap(openNetworkNamespace('/run/netns/blue'));
    const container = unwrap(openNetworkNamespace((await startContainer(t)).text));
    assert.ok(isSameNamespace(blue.fd, path.fd));
    assert.ok(!isSameNamespace(blue.fd, container.fd));
    assert.deepEqual([blue.isOurs, container.isOurs], [false, false]);
    for (const { fd } of [blue, path, container]) closeSync(fd);
    ip('netns', 'delete', 'blue');
  });

  test('our own is recognized', () => {
    const ours = unwrap(openNetworkNamespace(`pid:${process.pid}`));
    assert.ok(ours.isOurs);
    closeSync(ours.fd);
  });

  test('what is not there is told apart, and nothing stays open', () => {
    writeFileSync('/run/netns/unmounted', '');
    spawnSync('mkfifo', ['/run/pipe']);
    const cases: readonly (readonly [text: string, code: string, message: RegExp])[] = [
      ['nosuch', 'namespace-missing', /no network namespace nosuch: .*ip netns add nosuch/],
      ['/nosuch/net', 'namespace-missing', /^\/nosuch\/net .*no such file/],
      ['/dev/null/net', 'namespace-missing', /no such file/],
      ['pid:999999999', 'namespace-missing', /no process 999999999/],
      ['unmounted', 'namespace-wrong-kind', /unmounted is no network namespace: .*netns.unmounted is another/],
      ['/run/pipe', 'namespace-wrong-kind', /another kind of file/],
      ['/dev/zero', 'namespace-wrong-kind', /another kind of file/],
      ['/proc/self/ns/mnt', 'namespace-wrong-kind', /no network namespace/],
      ['pid:0', 'namespace-invalid', /"pid:0" names no network namespace: give a NAME/],
      ['pid:12x', 'namespace-invalid', /pid:12x/],
      ['..', 'namespace-invalid', /absolute PATH/],
      ['a/b', 'namespace-invalid', /"a.b"/],
      ['', 'namespace-invalid', /""/],
      ['/a\0b', 'namespace-invalid', /zero byte/],
    ];
    const before = openDescriptors();
    for (const [text, code, message] of cases) {
      const failure = failed(openNetworkNamespace(text));
      assert.equal(failure.code, code, `${text}: ${failure.message}`);
      assert.match(failure.message, message);
    }
    assert.equal(openDescriptors(), before);
  });

  test('sockets are opened inside, while we stay where we are', async (t) => {
    const { fd } = unwrap(openNetworkNamespace((await startContainer(t)).text));
    const ours = readlinkSync('/proc/self/ns/net');
    const before = openDescriptors();
    const { netlinkFd, tunFds } = unwrap(openInside(fd, 3));
    assert.equal(tunFds.length, 3);
    assert.equal(openDescriptors(), before + 4);
    const of = unwrap(namespaceOfSocket(netlinkFd));
    assert.ok(isSameNamespace(of, fd));
    ip('link', 'add', 'ours0', 'type', 'bridge');
    const netlink = new Netlink(netlinkFd);
    assert.deepEqual(
      unwrap(listLinks(netlink))
        .filter(({ name }) => name === 'lo' || name === 'ours0')
        .map(({ name }) => name),
      ['lo'],
    );
    assert.equal(failed(findLink(netlink, 'ours0')).code, 'interface-missing');
    assert.equal(readlinkSync('/proc/self/ns/net'), ours);
    assert.equal(readlinkSync('/proc/thread-self/ns/net'), ours);
    for (const each of [netlinkFd, of, ...tunFds, fd]) closeSync(each);
    ip('link', 'delete', 'ours0');
  });

  test('what is no network namespace can not be opened in, and nothing stays open', () => {
    const mounts = openSync('/proc/self/ns/mnt', 'r');
    const before = openDescriptors();
    assert.equal(failed(openInside(mounts, 2)).code, 'namespace-wrong-kind');
    assert.equal(failed(openInside(9999, 2)).code, 'namespace-enter-denied');
    assert.equal(openDescriptors(), before);
    closeSync(mounts);
  });

  test('sysctls are set inside and not here, and what is refused is named', async (t) => {
    const { fd } = unwrap(openNetworkNamespace((await startContainer(t)).text));
    const name = '/proc/sys/net/ipv4/ip_default_ttl';
    const ours = readFileSync(name, 'utf8');
    const sysctls = [
      { path: name, value: '33' },
      { path: '/proc/sys/net/ipv4/nosuch', value: '1' },
    ];
    assert.deepEqual(writeSysctlsInside(fd, sysctls), ['/proc/sys/net/ipv4/nosuch can not be set inside: ENOENT']);
    assert.equal(spawnSync('nsenter', ['--net=/proc/self/fd/3', 'cat', name], insideOf(fd)).stdout, '33\n');
    assert.equal(readFileSync(name, 'utf8'), ours);
    closeSync(fd);
  });

  test('a user namespace is joined first, and what is none is refused', async (t) => {
    const child = spawn('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', 'echo; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const { fd } = unwrap(openNetworkNamespace(`pid:${child.pid}`));
    const user = unwrap(openUserNamespace(`/proc/${child.pid}/ns/user`));
    const opened = unwrap(openInside(fd, 1, user));
    for (const each of [opened.netlinkFd, ...opened.tunFds]) closeSync(each);
    const own = unwrap(openUserNamespace('/proc/self/ns/user'));
    closeSync(unwrap(openInside(fd, 0, own)).netlinkFd);
    assert.equal(failed(openUserNamespace('/proc/self/ns/net')).code, 'namespace-wrong-kind');
    assert.equal(failed(openUserNamespace('/nosuch')).code, 'user-namespace-failed');
    for (const each of [fd, user, own]) closeSync(each);
  });

  test('a user without privilege enters the namespaces of its own containers, and no others', async (t) => {
    const root = unwrap(openNetworkNamespace((await startContainer(t)).text));
    const setpriv = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all'];
    const asNobody = [...setpriv, process.execPath, '--input-type=module', '-e', NOBODY];
    const module = new URL('./namespace-path.js', import.meta.url).href;
    const nobody = spawnSync('setpriv', [...asNobody, module], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', root.fd],
      timeout: 60_000,
    });
    closeSync(root.fd);
    if (nobody.status !== 0) return t.skip(`no user to try this as: ${nobody.error?.message ?? nobody.stderr}`);
    assert.deepEqual(JSON.parse(nobody.stdout), { roots: 'namespace-enter-denied', own: 'opened' });
  });
});
