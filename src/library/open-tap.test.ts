import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../base/eventually-fixture.test.ts';
import { inOwnNamespace, ip, openDescriptors, startContainer } from '../sys/own-namespace-fixture.test.ts';
import { openTap } from './open-tap.ts';
import type { FramePort, OpenTapOptions, Tap, TapBatch } from './tap.ts';
import type { TapsterError } from './tapster-error.ts';

const LIBRARY = new URL('./index.js', import.meta.url).href;
const PEER_MAC = '02:00:00:00:00:02';
/** Where the payload of a UDP datagram is: 14 + 20 + 8. */
const UDP_PAYLOAD = 42;

/** A frame of a protocol that nobody speaks, for anyone. */
const FRAME = Uint8Array.from({ length: 60 }, (_, i) => (i < 6 ? 0xff : i === 12 ? 0x88 : i === 13 ? 0xb5 : i));

inOwnNamespace(import.meta.url, 'taps of a program', () => {
  test('frames come in batches and in order, and none is read while nobody asks', async () => {
    using tap = await openPeer();
    await sendNumbered(300);
    assert.equal(tap.counters.framesReceived, 0);
    const seen: number[] = [];
    const counts: number[] = [];
    for await (const batch of tap) {
      counts.push(batch.count);
      for (const frame of batch) {
        if (frame[12] === 8 && frame[23] === 17)
          seen.push(new DataView(frame.buffer, frame.byteOffset).getInt32(UDP_PAYLOAD));
      }
      if (seen.length === 300) break;
    }
    assert.deepEqual(seen, [...Array(300).keys()]);
    assert.equal(counts[0], 256);
    assert.equal(tap.counters.batchesReceived, counts.length);
    assert.equal(tap.counters.framesReceived, sum(counts));
  });

  test('a batch is a view: offsets, frames and headers of one memory', async () => {
    using tap = await openPeer();
    await sendNumbered(2);
    const batch = await next(tap);
    assert.ok(batch.count >= 2);
    const last = batch.count - 1;
    assert.equal(batch.frame(last).buffer, batch.bytes.buffer);
    assert.equal(batch.frame(last).byteOffset, batch.offset(last));
    assert.equal(batch.frame(last).length, batch.length(last));
    assert.equal(batch.header(last).gsoType, 'none');
    assert.equal(batch.header(last).needsChecksum, false);
    assert.equal([...batch].length, batch.count);
    for (const i of [-1, batch.count, 0.5, Number.NaN]) assert.throws(() => batch.frame(i), RangeError);
  });

  test('the kernel takes what is sent, in one call for many', async () => {
    using tap = await openTap({ name: 'out0' });
    assert.equal(tap.send(FRAME), 1);
    assert.equal(tap.send(Array<Uint8Array>(600).fill(FRAME)), 600);
    assert.equal(tap.send([]), 0);
    assert.equal(tap.send(Array<Uint8Array>(8).fill(new Uint8Array(65_000).fill(0xff))), 8);
    assert.match(ip('-s', 'link', 'show', 'out0'), /RX:.*\n\s+\d+\s+609 /);
    assert.equal(tap.counters.framesSent, 609);
    assert.equal(tap.counters.bytesSent, 601 * 60 + 8 * 65_000);
  });

  test('what can not be sent is refused whole, and what the kernel does not take is counted', async () => {
    using tap = await openTap({ name: 'out0' });
    const header = { needsChecksum: true, checksumStart: 70, checksumOffset: 16, gsoType: 'none', gsoSize: 0 } as const;
    assert.throws(
      () => tap.send([FRAME, FRAME.subarray(0, 13)]),
      code('tap-frame-invalid', /14 to 65549 bytes, not 13/),
    );
    assert.throws(() => tap.send('frame' as never), code('tap-frame-invalid', /not string/));
    assert.throws(
      () => tap.send([FRAME, FRAME], [undefined, { ...header, headerBytes: 0, ecn: false }]),
      code('tap-header-invalid', /lead out of the frame/),
    );
    assert.throws(() => tap.send([FRAME, FRAME], []), code('tap-header-invalid', /2 frames/));
    assert.equal(tap.counters.framesSent, 0);
    tap.setUp(false);
    assert.equal(tap.send([FRAME, FRAME]), 0);
    assert.equal(tap.counters.framesRefused, 2);
    tap.setUp(true);
    assert.equal(tap.send([FRAME, FRAME]), 2);
  });

  test('is set up as the options say, and changed at run time', async () => {
    ip('link', 'add', 'br0', 'type', 'bridge');
    const options: OpenTapOptions = {
      name: 'set0',
      mac: '02:00:00:00:00:07',
      mtu: 1400,
      offload: 'csum',
      bridge: 'br0',
    };
    using tap = await openTap(options);
    assert.deepEqual([tap.name, tap.mac, tap.offload, tap.mode], ['set0', '02:00:00:00:00:07', 'csum', 'tap']);
    assert.match(ip('link', 'show', 'set0'), /,UP.* mtu 1400 .*master br0 /);
    assert.match(ip('link', 'show', 'set0'), new RegExp(`^${tap.index}: `));
    tap.setOffload('gso');
    assert.equal(tap.offload, 'gso');
    tap.setMtu(9000);
    tap.setMac('02:00:00:00:00:08');
    assert.equal(tap.mac, '02:00:00:00:00:08');
    assert.match(ip('link', 'show', 'set0'), /mtu 9000 [\s\S]*02:00:00:00:00:08/);
    tap.setCarrier(false);
    assert.match(ip('link', 'show', 'set0'), /NO-CARRIER/);
    tap.addAddress('10.9.0.1/24');
    tap.addAddress('fd09::1/64');
    assert.match(ip('addr', 'show', 'set0'), /10\.9\.0\.1\/24[\s\S]*fd09::1\/64/);
    tap.removeAddress('10.9.0.1/24');
    assert.doesNotMatch(ip('addr', 'show', 'set0'), /10\.9\.0\.1/);
    assert.throws(() => tap.setMtu(20), code('tap-option-invalid', /from 68 to 65521, not 20/));
    assert.throws(
      () => tap.addAddress('10.9.0.1'),
      code('tap-option-invalid', /"10\.9\.0\.1" is no address with a prefix/),
    );
    ip('link', 'del', 'br0');
  });

  test('the mode tun carries IP packets', async () => {
    using tap = await openTap({ mode: 'tun', addresses: ['10.8.0.1/24'], gateways: ['10.8.0.254'] });
    assert.deepEqual([tap.name, tap.mac], ['tun0', undefined]);
    assert.match(ip('route'), /default via 10\.8\.0\.254 dev tun0/);
    await sendNumbered(1, '10.8.0.2');
    const packet = await find(tap, (frame) => frame[0] === 0x45);
    assert.deepEqual([...packet.subarray(16, 20)], [10, 8, 0, 2]);
    assert.equal(tap.send(Uint8Array.from({ length: 20 }, (_, i) => (i === 0 ? 0x45 : 0))), 1);
    using other = await openTap();
    await sendNumbered(1, '10.8.0.2');
    const batch = await next(tap);
    assert.throws(() => other.send(batch), code('tap-frame-invalid', /frames of a tap, and the batch is of a tun/));
  });

  test('is in the namespace that is named, by name, path or process', async (t) => {
    ip('netns', 'add', 'red');
    const container = await startContainer(t);
    for (const namespace of ['red', '/var/run/netns/red', container.text]) {
      const tap = await openTap({ name: 'eth0', namespace, addresses: ['10.7.0.1/24'] });
      assert.ok(!ip('link').includes('eth0'));
      const { stdout } = spawnSync('ip', ['netns', 'exec', 'red', 'ip', 'addr', 'show', 'eth0'], { encoding: 'utf8' });
      if (namespace !== container.text) assert.match(stdout, /10\.7\.0\.1\/24/);
      tap.close();
    }
    await assert.rejects(
      openTap({ namespace: 'blue' }),
      code('namespace-missing', /there is no network namespace blue/),
    );
    ip('netns', 'del', 'red');
  });

  test('one that persists stays, is attached to, and is removed', async () => {
    (await openTap({ name: 'keep0', persist: true, up: false })).close();
    assert.doesNotMatch(ip('link', 'show', 'keep0'), /,UP/);
    await assert.rejects(openTap({ name: 'keep0' }), code('tap-exists', /attach to it/));
    const again = await openTap({ name: 'keep0', attach: true });
    assert.doesNotMatch(ip('link', 'show', 'keep0'), /,UP/);
    again.setUp(true);
    await assert.rejects(openTap({ name: 'keep0', attach: true }), code('tap-attach-busy', /another program/));
    again.remove();
    assert.ok(!ip('link').includes('keep0'));
    await assert.rejects(
      openTap({ name: 'keep0', attach: true }),
      code('tap-attach-missing', /there is no interface keep0/),
    );
  });

  test('what fails leaves nothing behind', async () => {
    const before = [openDescriptors(), ip('-o', 'link')];
    const wrong: readonly [OpenTapOptions, string, RegExp][] = [
      [{ bridge: 'br9' }, 'host-tap-bridge-failed', /there is no bridge br9/],
      [{ persist: true, gateways: ['10.0.0.1'], up: false }, 'host-tap-gateways', /must come up/],
      [
        { persist: true, name: 'x0', addresses: ['10.0.0.1/24'], bridge: 'br9' },
        'host-tap-exclusive',
        /one or the other/,
      ],
      [{ name: 'a/b' }, 'tap-name-invalid', /"a\/b"/],
      [{ queues: 300 }, 'tap-option-invalid', /queues is a whole number from 1 to 256, not 300/],
      [{ mac: 'nine' }, 'tap-option-invalid', /"nine" is no MAC address/],
      [{ gateways: ['10.0.0.1/8'] }, 'tap-option-invalid', /is no gateway/],
      [{ mode: 'tab' } as never, 'tap-option-invalid', /mode is 'tap' or 'tun', not "tab"/],
      [{ address: ['10.0.0.1/24'] } as never, 'tap-option-invalid', /there is no option address: there are name, /],
    ];
    for (const [options, expected, message] of wrong) await assert.rejects(openTap(options), code(expected, message));
    assert.deepEqual([openDescriptors(), ip('-o', 'link')], before);
  });

  test('closing gives everything back, and ends the loop', async () => {
    const before = openDescriptors();
    for (const end of ['close', 'remove', Symbol.dispose, Symbol.asyncDispose] as const) {
      const tap = await openTap({ queues: 2 });
      const loops = [drain(tap), ...tap.queues.map(drain)];
      await sleep(20);
      await tap[end]();
      await Promise.all(loops);
      tap.close();
      assert.throws(() => tap.send(FRAME), code('tap-closed', /is closed/));
      assert.throws(() => tap.setUp(true), code('tap-closed', /is closed/));
      await drain(tap);
    }
    // Less where a process of an earlier test has ended meanwhile.
    assert.ok(openDescriptors() <= before);
    assert.ok(!ip('link').includes('tap'));
  });

  test('one loop at a time, and a loop that was left makes way', async () => {
    using tap = await openPeer();
    const first = tap[Symbol.asyncIterator]();
    const waiting = first.next().then(() => first.next());
    await assert.rejects(drain(tap), code('tap-being-read', /one for each of its queues/));
    await sendNumbered(1);
    const left = sleep(50).then(() => first.return?.());
    await Promise.race([waiting, left]);
    await left;
    await sendNumbered(1);
    assert.ok((await next(tap)).count > 0);
  });

  test('an abort closes it, with its reason', async () => {
    const controller = new AbortController();
    const tap = await openTap({ signal: controller.signal });
    const loop = drain(tap);
    await sleep(20);
    controller.abort(new Error('enough'));
    await assert.rejects(loop, /enough/);
    assert.ok(!ip('link').includes('tap'));
    await assert.rejects(openTap({ signal: controller.signal }), /enough/);
  });

  test('an interface that somebody else deletes is lost', async () => {
    const tap = await openTap({ name: 'gone0', queues: 2 });
    const loops = [tap, ...tap.queues].map((port) => assert.rejects(drain(port), code('tap-lost', /gone0 is gone/)));
    await sleep(20);
    ip('link', 'del', 'gone0');
    await Promise.all(loops);
    await assert.rejects(drain(tap), code('tap-lost', /gone0/));
    assert.throws(() => tap.send(FRAME), code('tap-lost', /gone0/));
    assert.throws(() => tap.setMtu(1400), code('tap-lost', /gone0/));
    assert.throws(() => tap.addAddress('10.0.0.1/8'), code('tap-lost', /gone0/));
    tap.remove();
  });

  test('of two queues each has its flows', async () => {
    using tap = await openPeer({ queues: 2 });
    const seen = [0, 0];
    const loops = tap.queues.map(async (queue) => {
      for await (const batch of queue) {
        assert.equal(batch.queue, queue.index);
        seen[queue.index]! += batch.count;
      }
    });
    for (let flow = 0; flow < 64; flow++) await sendNumbered(1);
    await eventually('all have come', () => seen[0]! + seen[1]! >= 64);
    assert.ok(seen[0]! > 0 && seen[1]! > 0, seen.join());
    assert.equal(tap.queues[1]!.send(FRAME), 1);
    tap.close();
    await Promise.all(loops);
  });

  test('the loop over a tap sees all its queues', async () => {
    using tap = await openPeer({ queues: 4 });
    for (let flow = 0; flow < 64; flow++) await sendNumbered(1);
    const queues = new Set<number>();
    let frames = 0;
    for await (const batch of tap) {
      queues.add(batch.queue);
      for (const frame of batch) if (frame[12] === 8 && frame[23] === 17) frames++;
      if (frames === 64) break;
    }
    assert.ok(queues.size > 1);
  });

  test('a process ends when nobody waits for frames, and waits while somebody does', () => {
    const open = `import { openTap } from ${JSON.stringify(LIBRARY)};
      const tap = await openTap({ addresses: ['10.6.0.1/24'] });
      const frames = tap[Symbol.asyncIterator]();`;
    assert.equal(runScript(`${open} await frames.next(); console.log('idle');`), 'idle\n');
    const loops = `${open} setTimeout(() => tap.close(), 300).unref();
      for (;;) if ((await frames.next()).done) break; console.log('closed');`;
    assert.equal(runScript(loops), 'closed\n');
  });
});

/** A tap with a neighbour, 10.78.0.2, that has a MAC address: datagrams to it come to us at once. */
async function openPeer(options: OpenTapOptions = {}): Promise<Tap> {
  const tap = await openTap({ addresses: ['10.78.0.1/24'], ...options });
  ip('neigh', 'add', '10.78.0.2', 'lladdr', PEER_MAC, 'dev', tap.name);
  return tap;
}

/** Sends datagrams that hold 0, 1, 2 and so on, from one socket. */
async function sendNumbered(count: number, to: string = '10.78.0.2'): Promise<void> {
  const socket = createSocket('udp4');
  socket.connect(9, to);
  await once(socket, 'connect');
  for (let i = 0; i < count; i++) {
    const payload = Buffer.alloc(4);
    payload.writeInt32BE(i);
    await new Promise((resolve) => socket.send(payload, resolve));
  }
  socket.close();
}

async function next(port: FramePort): Promise<TapBatch> {
  for await (const batch of port) return batch;
  throw new Error('it has ended');
}

async function find(port: FramePort, isWanted: (frame: Uint8Array) => boolean): Promise<Uint8Array> {
  for await (const batch of port) for (const frame of batch) if (isWanted(frame)) return frame.slice();
  throw new Error('it has ended');
}

async function drain(port: FramePort): Promise<void> {
  for await (const _ of port);
}

function code(expected: string, message: RegExp): (error: TapsterError) => boolean {
  return (error) => {
    assert.equal(error.code, expected, error.message);
    assert.match(error.message, message);
    return true;
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

function runScript(script: string): string {
  const words = ['--input-type=module', '-e', script];
  const { stdout, stderr, status } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 0, stderr);
  return stdout;
}
