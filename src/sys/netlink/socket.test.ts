import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result } from '../../base/result.ts';
import { listAddresses } from './address.ts';
import { findLink, listLinks, setLink } from './link.ts';
import { LITTLE_ENDIAN, Request } from './message.ts';
import { listRoutes } from './route.ts';
import { Netlink, type NetlinkCalls } from './socket.ts';

const EAGAIN = 11;
const EPERM = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const INTERRUPTED = 0x10;

/** A kernel that answers each request with the next of `answers`: lists of (type, flags, sequence offset, body). */
class ScriptedKernel implements NetlinkCalls {
  readonly #answers: (readonly [type: number, flags: number, sequence: number, body: Uint8Array])[][];
  #sequence: number = 0;

  constructor(...answers: (readonly [number, number, number, Uint8Array])[][]) {
    this.#answers = answers;
  }

  netlinkOpen(): number {
    return 99;
  }

  netlinkPrepare(): number {
    return 0;
  }

  netlinkSend(_fd: number, message: Uint8Array): number {
    this.#sequence = new DataView(message.buffer).getUint32(8, LITTLE_ENDIAN);
    return message.length;
  }

  netlinkReceive(_fd: number, datagram: Uint8Array): number {
    const answer = this.#answers.shift();
    if (answer === undefined) return -EAGAIN;
    let at = 0;
    for (const [type, flags, sequence, body] of answer) {
      const bytes = new Request(type, flags).uint8(...body).bytes(this.#sequence + sequence);
      datagram.set(bytes, at);
      at += bytes.length;
    }
    return at;
  }
}

test('an acknowledgment is success, and answers to other requests are passed over', () => {
  const kernel = new ScriptedKernel([[NLMSG_ERROR, 0, -1, int32(-EPERM)]], [[NLMSG_ERROR, 0, 0, int32(0)]]);
  assert.deepEqual(new Netlink(99, kernel).request(new Request(1, 0), 'test'), { ok: true, value: undefined });
});

test('a refusal carries the errno and what is being done', () => {
  const kernel = new ScriptedKernel([[NLMSG_ERROR, 0, 0, int32(-EPERM)]]);
  const result = new Netlink(99, kernel).request(new Request(1, 0), 'move the interface');
  assert.deepEqual(result, {
    ok: false,
    failure: { code: 'netlink-eperm', message: 'can not move the interface: the kernel says EPERM' },
  });
});

test('a kernel that does not answer is a failure, not a hang', () => {
  const result = new Netlink(99, new ScriptedKernel()).request(new Request(1, 0), 'test');
  assert.equal(!result.ok && result.failure.code, 'netlink-timeout');
});

test('a dump that was interrupted is asked for again', () => {
  const kernel = new ScriptedKernel(
    [[16, INTERRUPTED, 0, int32(1)]],
    [[NLMSG_DONE, 0, 0, int32(0)]],
    [
      [16, 0, 0, int32(2)],
      [16, 0, 0, int32(3)],
      [NLMSG_DONE, 0, 0, int32(0)],
    ],
  );
  const read = new Netlink(99, kernel).dump(
    new Request(18, 0),
    ({ view, at }) => view.getInt32(at, LITTLE_ENDIAN),
    'list',
  );
  assert.deepEqual(read, { ok: true, value: [2, 3] });
});

test('a dump that is always interrupted is given up', () => {
  const kernel = new ScriptedKernel(
    ...Array.from({ length: 9 }, () => [[NLMSG_DONE, INTERRUPTED, 0, int32(0)] as const]),
  );
  const read = new Netlink(99, kernel).dump(new Request(18, 0), () => 1, 'list');
  assert.equal(!read.ok && read.failure.code, 'netlink-dump-interrupted');
});

test('the real kernel lists links, addresses and routes', (t) => {
  const netlink = unwrap(Netlink.open());
  t.after(() => netlink.close());
  const lo = unwrap(findLink(netlink, 'lo'));
  assert.ok(lo.loopback && lo.index > 0 && lo.mtu > 0);
  const before = unwrap(listLinks(netlink));
  const used = [...unwrap(listAddresses(netlink)), ...unwrap(listRoutes(netlink))];
  // Others may come and go meanwhile: it is the machine's own network.
  const indices = new Set([...before, ...unwrap(listLinks(netlink))].map((link) => link.index));
  for (const { interfaceIndex } of used) assert.ok(indices.has(interfaceIndex));
  const missing = findLink(netlink, 'nosuch0');
  assert.equal(!missing.ok && missing.failure.code, 'interface-missing');
});

test("the real kernel's own sentence comes with its refusal", (t) => {
  const netlink = unwrap(Netlink.open());
  t.after(() => netlink.close());
  const refused = setLink(netlink, 0x7ffffffe, { mtu: 1500 });
  assert.ok(!refused.ok);
  // As root there is no such interface; an ordinary user is refused before, and some kernels give a sentence with that.
  assert.match(refused.failure.code, /^netlink-(enodev|eperm)$/);
  assert.match(refused.failure.message, /^can not set mtu 1500 of interface 2147483646: the kernel says E/);
});

function int32(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, LITTLE_ENDIAN);
  return new Uint8Array(view.buffer);
}

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}
