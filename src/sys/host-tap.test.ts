import assert from 'node:assert/strict';
import { closeSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { ERRNO } from './errno.ts';
import {
  closeHostTap,
  openHostTap,
  removeHostTap,
  setTapCarrier,
  setTapOffloads,
  type TapOptions,
} from './host-tap.ts';
import { openNetworkNamespace } from './namespace-path.ts';
import { deleteLink, findLink, setLink } from './netlink/link.ts';
import { failed, inOwnNamespace, ip, openDescriptors, startContainer, unwrap } from './own-namespace-fixture.test.ts';
import { TUN_F } from './tun.ts';

inOwnNamespace(import.meta.url, 'taps of the host', () => {
  test('a tap is made with a number of its own, and goes with its descriptors', () => {
    const before = openDescriptors();
    const tap = unwrap(openHostTap({}));
    assert.equal(tap.name, 'tap0');
    assert.deepEqual([tap.fds.length, tap.attached, tap.persistent, tap.hasVnetHeader], [1, false, false, true]);
    assert.equal(tap.offloads & (TUN_F.CSUM | TUN_F.TSO4 | TUN_F.TSO6), 7);
    assert.equal(unwrap(findLink(tap.netlink, 'tap0')).kind, 'tun');
    const second = unwrap(openHostTap({ vnetHeader: false }));
    assert.deepEqual([second.name, second.hasVnetHeader, second.offloads], ['tap1', false, 0]);
    for (const each of [second, tap]) closeHostTap(each);
    assert.equal(openDescriptors(), before);
    assert.ok(!ip('link').includes('tap'));
  });

  test('several queues are as many descriptors of one interface', () => {
    const tap = unwrap(openHostTap({ name: 'many0', queues: 4 }));
    assert.equal(tap.fds.length, 4);
    assert.equal(new Set(tap.fds).size, 4);
    assert.match(ip('-d', 'link', 'show', 'many0'), /tun type tap .*multi_queue.* numqueues/);
    closeHostTap(tap);
  });

  test('the mode tun carries IP packets', () => {
    const tap = unwrap(openHostTap({ mode: 'tun' }));
    assert.equal(tap.name, 'tun0');
    assert.equal(unwrap(findLink(tap.netlink, 'tun0')).mac, undefined);
    closeHostTap(tap);
  });

  test('a tap in another namespace is there and not here, and we stay here', async (t) => {
    const ours = readlinkSync('/proc/self/ns/net');
    const { text } = await startContainer(t);
    const namespace = unwrap(openNetworkNamespace(text));
    const before = openDescriptors();
    const tap = unwrap(openHostTap({ name: 'eth7', namespaceFd: namespace.fd, queues: 2 }));
    assert.ok(unwrap(findLink(tap.netlink, 'eth7')).index > 0);
    assert.ok(!ip('link').includes('eth7'));
    assert.match(readFileSync(`/proc/${text.slice(4)}/net/dev`, 'utf8'), /eth7:/);
    assert.equal(readlinkSync('/proc/self/ns/net'), ours);
    unwrap(setLink(tap.netlink, tap.index, { up: true, promiscuous: true, mtu: 1400 }));
    const link = unwrap(findLink(tap.netlink, 'eth7'));
    assert.deepEqual([link.up, link.promiscuous, link.mtu], [true, true, 1400]);
    unwrap(setLink(tap.netlink, tap.index, { promiscuous: false }));
    assert.equal(unwrap(findLink(tap.netlink, 'eth7')).promiscuous, false);
    closeHostTap(tap);
    assert.equal(openDescriptors(), before);
    closeSync(namespace.fd);
  });

  test('a tap that persists is attached to again, and is then made to go', () => {
    const made = unwrap(openHostTap({ name: 'keep0', persist: true, queues: 2, owner: 1234, group: 4321 }));
    closeHostTap(made);
    assert.match(ip('-d', 'link', 'show', 'keep0'), /persist on user 1234 group 4321/);
    assert.equal(failed(openHostTap({ name: 'keep0', queues: 2 })).code, 'tap-exists');
    const again = unwrap(openHostTap({ name: 'keep0', queues: 2, attach: true }));
    assert.deepEqual([again.index, again.attached, again.persistent], [made.index, true, true]);
    unwrap(removeHostTap(again));
    assert.ok(!ip('link').includes('keep0'));
  });

  test('the carrier is what we say', () => {
    const tap = unwrap(openHostTap({ name: 'cable0' }));
    unwrap(setTapCarrier(tap, false));
    unwrap(setLink(tap.netlink, tap.index, { up: true }));
    assert.deepEqual(upAndCarrier(), [true, false]);
    unwrap(setTapCarrier(tap, true));
    assert.deepEqual(upAndCarrier(), [true, true]);
    unwrap(setTapCarrier(tap, false));
    assert.deepEqual(upAndCarrier(), [true, false]);
    closeHostTap(tap);

    function upAndCarrier(): boolean[] {
      const link = unwrap(findLink(tap.netlink, 'cable0'));
      return [link.up, link.carrier];
    }
  });

  test('offloads change while it runs', () => {
    const tap = unwrap(openHostTap({ name: 'off0', offloads: 'off' }));
    assert.equal(tap.offloads, 0);
    assert.equal(unwrap(setTapOffloads(tap, 'checksum')), TUN_F.CSUM);
    assert.equal(unwrap(setTapOffloads(tap, 'segmentation')) & TUN_F.TSO4, TUN_F.TSO4);
    assert.equal(unwrap(setTapOffloads(tap, 'off')), 0);
    closeHostTap(tap);
  });

  test('an interface that somebody else deletes gives EBADFD, and is closed without complaint', () => {
    const tap = unwrap(openHostTap({ name: 'gone0' }));
    unwrap(setLink(tap.netlink, tap.index, { up: true }));
    unwrap(deleteLink(tap.netlink, tap.index));
    const errno = (action: () => unknown): number => {
      try {
        action();
        return 0;
      } catch (error) {
        return -((error as NodeJS.ErrnoException).errno ?? 0);
      }
    };
    const frame = Buffer.alloc(64);
    assert.equal(
      errno(() => readSync(tap.fds[0]!, frame)),
      ERRNO.EBADFD,
    );
    assert.equal(
      errno(() => writeSync(tap.fds[0]!, frame)),
      ERRNO.EBADFD,
    );
    assert.equal(failed(setTapCarrier(tap, true)).code, 'tap-carrier-failed');
    unwrap(removeHostTap(tap));
  });

  test('what can not be is refused with what would be right, and nothing stays open', () => {
    ip('link', 'add', 'br9', 'type', 'bridge');
    const single = unwrap(openHostTap({ name: 'single0' }));
    const cases: readonly (readonly [options: TapOptions, code: string, message: RegExp])[] = [
      [{ queues: 0 }, 'tap-queues-invalid', /1 to 256 queues, not 0/],
      [{ queues: 257 }, 'tap-queues-invalid', /not 257/],
      [{ queues: 2, multiQueue: false }, 'tap-queues-invalid', /multiQueue/],
      [{ name: 'sixteen-letters0' }, 'tap-name-invalid', /15 characters/],
      [{ name: 'a b' }, 'tap-name-invalid', /"a b"/],
      [{ name: 'x%s' }, 'tap-name-invalid', /x%s/],
      [{ name: '..' }, 'tap-name-invalid', /".."/],
      [{ attach: true }, 'tap-attach-nameless', /full name/],
      [{ attach: true, name: 'tap%d' }, 'tap-attach-nameless', /full name/],
      [{ attach: true, name: 'single0', owner: 1 }, 'tap-attach-owner', /single0/],
      [{ attach: true, name: 'nosuch0' }, 'tap-attach-missing', /no interface nosuch0/],
      [{ attach: true, name: 'single0' }, 'tap-attach-busy', /single0 is in use/],
      [{ attach: true, name: 'single0', queues: 2 }, 'tap-attach-mismatch', /single queue/],
      [{ attach: true, name: 'single0', mode: 'tun' }, 'tap-attach-mismatch', /other mode/],
      [{ attach: true, name: 'br9' }, 'tap-attach-mismatch', /no tap/],
      [{ name: 'single0' }, 'tap-exists', /interface single0 already/],
      [{ name: 'br9', queues: 3 }, 'tap-exists', /br9/],
    ];
    const before = openDescriptors();
    for (const [options, code, message] of cases) {
      const failure = failed(openHostTap(options));
      assert.equal(failure.code, code, `${JSON.stringify(options)}: ${failure.message}`);
      assert.match(failure.message, message);
    }
    assert.equal(openDescriptors(), before);
    assert.ok(!/tap\d|nosuch/.test(ip('link')));
    closeHostTap(single);
    ip('link', 'delete', 'br9');
  });
});
