import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { parseMacAddress } from '../../base/address.ts';
import { ERRNO } from '../errno.ts';
import { closeHostTap, openHostTap, setTapCarrier } from '../host-tap.ts';
import { openInside, openNetworkNamespace } from '../namespace-path.ts';
import { loadNative } from '../native.ts';
import { failed, inOwnNamespace, ip, startContainer, unwrap } from '../own-namespace-fixture.test.ts';
import { setBridge } from './bridge.ts';
import { deleteLink, findLink, setLink } from './link.ts';
import { type LinkEvent, type LinkMonitor, type MonitorCalls, monitorLinks } from './monitor.ts';
import { Netlink, type NetlinkCalls } from './socket.ts';

/** Enough to fill the buffer of a socket that nobody reads. */
const CHANGES_TOO_MANY = 2_000;

inOwnNamespace(import.meta.url, 'the monitor of links', () => {
  test('an interface is told of when it comes, changes and goes', (t) => {
    const monitor = monitorHere(t);
    const tap = unwrap(openHostTap({ name: 'seen0' }));
    const change = (wanted: Parameters<typeof setLink>[2]): LinkEvent | undefined => {
      unwrap(setLink(tap.netlink, tap.index, wanted));
      return events(monitor).at(-1);
    };
    const made = events(monitor).at(-1);
    assert.deepEqual([made?.kind, made?.index, made?.name, made?.up], ['changed', tap.index, 'seen0', false]);
    assert.equal(change({ mtu: 1400 })?.mtu, 1400);
    assert.equal(`${change({ mac: parseMacAddress('02:00:00:00:00:07')! })?.mac}`, '02:00:00:00:00:07');
    const up = change({ up: true });
    assert.deepEqual([up?.up, up?.carrier], [true, true]);
    assert.equal(change({ name: 'seen1' })?.name, 'seen1');
    unwrap(setTapCarrier(tap, false));
    unwrap(setLink(tap.netlink, tap.index, { mtu: 1500 }));
    const down = events(monitor).at(-1);
    assert.deepEqual([down?.up, down?.carrier], [true, false]);
    unwrap(deleteLink(tap.netlink, tap.index));
    const gone = events(monitor).at(-1);
    assert.deepEqual([gone?.kind, gone?.index, gone?.name], ['gone', tap.index, 'seen1']);
    assert.deepEqual(events(monitor), []);
    closeHostTap(tap);
  });

  test('who leaves a bridge is not gone', (t) => {
    ip('link', 'add', 'br0', 'type', 'bridge');
    const tap = unwrap(openHostTap({ name: 'port0' }));
    t.after(() => {
      closeHostTap(tap);
      ip('link', 'delete', 'br0');
    });
    const bridge = unwrap(findLink(tap.netlink, 'br0'));
    const monitor = monitorHere(t);
    unwrap(setBridge(tap.netlink, tap.index, bridge.index));
    unwrap(setBridge(tap.netlink, tap.index, undefined));
    const heard = events(monitor);
    assert.ok(heard.some(({ index }) => index === tap.index));
    assert.ok(heard.every(({ kind }) => kind === 'changed'));
  });

  test('who moves away is gone here, and comes there', async (t) => {
    const { fd } = unwrap(openNetworkNamespace((await startContainer(t)).text));
    const inside = unwrap(openInside(fd));
    const tap = unwrap(openHostTap({ name: 'away0' }));
    t.after(() => {
      closeHostTap(tap);
      for (const each of [fd, inside.netlinkFd]) closeSync(each);
    });
    const [here, there] = [monitorHere(t), unwrap(monitorLinks(inside.netlinkFd))];
    unwrap(setLink(tap.netlink, tap.index, { namespaceFd: fd }));
    assert.ok(events(here).some(({ kind, name }) => kind === 'gone' && name === 'away0'));
    assert.ok(events(there).some(({ kind, name }) => kind === 'changed' && name === 'away0'));
  });

  test('a reader that is too slow hears that it missed something, and goes on', (t) => {
    const monitor = monitorHere(t);
    const tap = unwrap(openHostTap({ name: 'fast0' }));
    t.after(() => closeHostTap(tap));
    for (let i = 0; i < CHANGES_TOO_MANY; i++) unwrap(setLink(tap.netlink, tap.index, { mtu: 1000 + (i % 2) }));
    let overrun = false;
    let count = 0;
    for (;;) {
      const news = unwrap(monitor.read());
      if (news.events.length === 0 && !news.overrun) break;
      overrun ||= news.overrun;
      count += news.events.length;
    }
    assert.ok(overrun);
    assert.ok(count > 0 && count < CHANGES_TOO_MANY, `${count}`);
    unwrap(setLink(tap.netlink, tap.index, { mtu: 1234 }));
    assert.equal(events(monitor).at(-1)?.mtu, 1234);
  });
});

test('a datagram that is too long counts as an overrun, and an error is a failure', () => {
  const answers = [-ERRNO.EMSGSIZE, -ERRNO.EAGAIN, -ERRNO.EBADF];
  const calls: MonitorCalls = {
    netlinkSubscribe: () => 0,
    netlinkReceive: () => answers.shift()!,
  };
  const monitor = unwrap(monitorLinks(99, calls));
  assert.deepEqual(unwrap(monitor.read()), { events: [], overrun: true });
  assert.equal(failed(monitor.read()).code, 'link-monitor-failed');
  assert.equal(
    failed(monitorLinks(99, { ...calls, netlinkSubscribe: () => -ERRNO.EPERM })).code,
    'link-monitor-failed',
  );
});

test('one read ends, however much there is', () => {
  let count = 0;
  const endless: MonitorCalls = {
    netlinkSubscribe: () => 0,
    netlinkReceive: () => {
      count++;
      return -ERRNO.ENOBUFS;
    },
  };
  assert.ok(unwrap(unwrap(monitorLinks(99, endless)).read()).overrun);
  assert.ok(count <= 64);
});

function monitorHere(t: TestContext): LinkMonitor {
  const socket = unwrap(Netlink.open(loadNative<NetlinkCalls>()));
  t.after(() => socket.close());
  return unwrap(monitorLinks(socket.fd));
}

function events(monitor: LinkMonitor): readonly LinkEvent[] {
  const news = unwrap(monitor.read());
  assert.ok(!news.overrun);
  return news.events;
}
