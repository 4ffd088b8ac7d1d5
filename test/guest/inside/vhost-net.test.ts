/** vhost-net on a kernel that has it: real rings, real traffic. Covers V6 and V7. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { openTapLink } from '#tapster/engine/tap-backend.js';
import { VhostNetLink, vhostNetLayout } from '#tapster/link/vhost-net.js';
import { NO_OFFLOAD } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import { ERRNO } from '#tapster/sys/errno.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION } from '#tapster/sys/sys.js';
import { tunInterfaceName } from '#tapster/sys/tun.js';
import { openVhostNet, vhostDescriptors, vhostNetAvailable } from '#tapster/sys/vhost-net.js';
import { childIn, configure, ENDS, ip, openTapIn, Patch, type PatchOptions, runIn, unwrap } from './patch.ts';

const MEGABYTE = 1024 * 1024;
const [RED, BLUE] = ENDS;

interface Hashes {
  readonly sent: string;
  readonly received: string;
}

/** Bytes both ways at once; each end has the hash of what it sent and got. Returns how long it took. */
async function exchange(address: string, bytes: number): Promise<number> {
  const startedMs = performance.now();
  const [red, blue] = (
    await Promise.all([
      childIn(RED.namespace, 'connect', address, '5000', String(bytes)),
      childIn(BLUE.namespace, 'serve', '5000', String(bytes)),
    ])
  ).map((text) => JSON.parse(text) as Hashes);
  assert.deepEqual([red!.received, blue!.received], [blue!.sent, red!.sent]);
  assert.notEqual(red!.sent, blue!.sent);
  return performance.now() - startedMs;
}

async function ping(size: number, address: string = BLUE.address): Promise<void> {
  const said = await runIn(
    RED.namespace,
    'busybox',
    'ping',
    '-c',
    '2',
    '-i',
    '0.1',
    '-W',
    '5',
    '-s',
    String(size),
    address,
  );
  assert.match(said, /2 packets received/, `${size} bytes`);
}

async function withPatch<T>(options: PatchOptions, body: (patch: Patch) => Promise<T>): Promise<T> {
  const patch = new Patch(options);
  try {
    return await body(patch);
  } finally {
    patch.close();
  }
}

/** What a call returns that is not 0, within 10 seconds. */
async function eventually(call: () => number): Promise<number> {
  for (let tries = 0; tries < 500; tries++) {
    const result = call();
    if (result !== 0) return result;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return 0;
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

describe('vhost-net', () => {
  test('is there, and leaves nothing open when a step fails', () => {
    assert.equal(vhostNetAvailable(), true);
    const sys = new LinuxSys();
    const layout = vhostNetLayout(256, 256);
    const memory = sys.register(new Uint8Array(layout.bytes));
    const before = openDescriptors();
    const options = {
      tapFd: -1,
      memory,
      memoryBytes: layout.bytes,
      receive: layout.receive,
      transmit: layout.transmit,
    };
    const notTap = openSync('/dev/null', 'r');
    const wrong: readonly (readonly [string, object])[] = [
      ['vhost-net-backend-failed', { tapFd: notTap }],
      ['vhost-net-ring-failed', { receive: { ...layout.receive, size: 255 } }],
      ['vhost-net-ring-failed', { transmit: { ...layout.transmit, used: layout.transmit.used + 1 } }],
      ['vhost-net-backend-failed', { memoryBytes: 0 }],
    ];
    for (const [code, change] of wrong) {
      const result = openVhostNet({ ...options, ...change });
      assert.ok(!result.ok, code);
      assert.equal(result.failure.code, code, result.failure.message);
    }
    closeSync(notTap);
    assert.equal(openDescriptors(), before);
    sys.unregister(memory);
  });

  for (const offloads of ['segmentation', 'checksum', 'off'] as const) {
    describe(`between two namespaces, offloads: ${offloads}`, () => {
      let patch: Patch;
      before(() => {
        patch = new Patch({ backend: 'vhost-net', offloads });
      });
      after(() => patch.close());

      test('carries packets of every size', async () => {
        for (const size of [0, 1, 18, 56, 1000, 1472, 1473, 4100, 30_000, 65_507]) await ping(size);
        for (const size of [56, 30_000]) await ping(size, BLUE.address6);
      });

      test('carries streams both ways at once, byte for byte', async () => {
        await exchange(BLUE.address, offloads === 'segmentation' ? 24 * MEGABYTE : 6 * MEGABYTE);
        await exchange(BLUE.address6, 3 * MEGABYTE);
      });
    });
  }

  test('carries all of that with rings of few entries', async () => {
    await withPatch({ backend: 'vhost-net', ringSizes: { rx: 4, tx: 256 } }, async () => {
      for (const size of [0, 1472, 65_507]) await ping(size);
      await exchange(BLUE.address, 2 * MEGABYTE);
    });
    // One buffer holds the largest frame. What finds no room in the other ring is lost, and sent again.
    await withPatch({ backend: 'vhost-net', ringSizes: { rx: 1, tx: 2 } }, async () => {
      await ping(56);
      await exchange(BLUE.address, MEGABYTE / 4);
    });
  });

  test('goes on when the indexes of the rings wrap', async () => {
    await withPatch({ backend: 'vhost-net', ringSizes: { rx: 256, tx: 1024 } }, async (patch) => {
      await ping(56);
      const flood = [process.execPath, new URL('./child.js', import.meta.url).pathname, 'datagrams', BLUE.address, '9'];
      const child = spawn('ip', ['netns', 'exec', RED.namespace, ...flood], { stdio: 'ignore' });
      try {
        for (let waited = 0; patch.received[0]! < 70_000; waited++) {
          assert.ok(waited < 300, `${patch.received[0]} frames after ${waited / 10} s`);
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      } finally {
        child.kill('SIGKILL');
      }
      for (const size of [56, 65_507]) await ping(size);
      const { stats64 } = JSON.parse(ip('-n', BLUE.namespace, '-j', '-s', 'link', 'show', 'eth0'))[0];
      const given = patch.received[0]! - patch.refused[0]!;
      assert.ok(given > 65_536, `${given} of ${patch.received[0]} were taken`);
      assert.ok(Math.abs(stats64.rx.packets - given) <= 2, `${stats64.rx.packets} came of ${given}`);
    });
  });

  test('gives back all descriptors, and the interface goes', async () => {
    const before = openDescriptors();
    await withPatch({ backend: 'vhost-net' }, () => ping(56));
    assert.equal(openDescriptors(), before);
    assert.ok(!ip('-n', RED.namespace, 'link').includes('eth0'));
  });

  test('may say nothing when somebody deletes the interface; the tap tells who asks', async (t) => {
    const sys = new LinuxSys();
    const tap = openTapIn(RED.namespace, 'off');
    const [tapFd = -1] = tap.fds;
    const ringSizes = { rx: 256, tx: 256 };
    const common = { name: 'eth0', hasVnetHeader: true, offload: NO_OFFLOAD, ringSizes, arenaMemory: -1 };
    const { link } = unwrap(openTapLink(sys, { ...common, tapFd, backend: 'vhost-net' }));
    const poll = sys.pollCreate();
    // Errors are told without being asked for: but who sleeps must be woken, and the kernel wakes those who wait for something to read.
    sys.pollControl(poll, POLL_OPERATION.ADD, tapFd, 0, 0);
    sys.pollControl(poll, POLL_OPERATION.ADD, link.fd, POLL.IN, 1);
    assert.equal(tunInterfaceName(tapFd), 'eth0');
    ip('-n', RED.namespace, 'link', 'delete', 'eth0');
    await new Promise((resolve) => setTimeout(resolve, 500));
    const told = sys.pollCollect(poll, new Int32Array(2 * POLL_EVENT_WORDS), 2, 0);
    t.diagnostic(`events by a poll set: ${told}`);
    assert.equal(tunInterfaceName(tapFd), -ERRNO.EBADFD);
    sys.close(poll);
    link.close();
    tap.netlink.close();
  });

  test('can be closed behind an interface that somebody deleted', async () => {
    await withPatch({ backend: 'vhost-net' }, async () => {
      await ping(56);
      ip('-n', RED.namespace, 'link', 'delete', 'eth0');
    });
  });

  test('tells when the kernel can not use a ring', async () => {
    const sys = new LinuxSys();
    const layout = vhostNetLayout(256, 256);
    const memory = new Uint8Array(layout.bytes);
    const memoryId = sys.register(memory);
    const tap = openTapIn(RED.namespace, 'off');
    const [tapFd = -1] = tap.fds;
    // The buffers lie outside of what the kernel was told of.
    const { receive, transmit, receiveBuffersAt: memoryBytes } = layout;
    const device = unwrap(openVhostNet({ tapFd, memory: memoryId, memoryBytes, receive, transmit }));
    const descriptors = [...vhostDescriptors(device), tapFd];
    const offload = NO_OFFLOAD;
    const link = new VhostNetLink(sys, {
      name: 'eth0',
      offload,
      layout,
      memory,
      memoryId,
      events: device,
      descriptors,
    });
    configure(RED);
    const packets = new Packets();
    const packet = packets.allocate(60);
    packets.bytes.fill(0xff, packets.start[packet], packets.end[packet]);
    const frame = new Int32Array([packet]);
    assert.equal(link.transmit(packets, frame, 1), 1);
    assert.equal(await eventually(() => link.receive(packets, frame, 1)), -ERRNO.EIO);
    const poll = sys.pollCreate();
    sys.pollControl(poll, POLL_OPERATION.ADD, link.fd, POLL.IN, 0);
    assert.equal(sys.pollCollect(poll, new Int32Array(2), 1, 0), 1, 'readable, too');
    sys.close(poll);
    link.close();
    tap.netlink.close();
  });

  test('is compared with reading and writing', async (t) => {
    const bytes = 16 * MEGABYTE;
    const tookMs: Record<string, number> = {};
    for (const backend of ['read-write', 'vhost-net'] as const) {
      await withPatch({ backend }, async (patch) => {
        tookMs[backend] = await exchange(BLUE.address, bytes);
        t.diagnostic(`${backend}: ${patch.received} frames received, ${patch.refused} of them refused`);
      });
    }
    const ratio = tookMs['vhost-net']! / tookMs['read-write']!;
    t.diagnostic(`vhost-net takes ${ratio.toFixed(2)} of the time of read-write`);
  });
});
