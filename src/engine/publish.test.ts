import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, parseIpAddress } from '../base/address.ts';
import type { Result } from '../base/result.ts';
import { ERRNO } from '../sys/errno.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { SOCKET_FAMILY, SOCKET_TYPE } from '../sys/sys.ts';
import { openPublished, type PublishedSocket } from './publish.ts';
import type { PublishRule } from './run-options.ts';

const BOTH = { ipv4: true, ipv6: true };
const EPHEMERAL_FIRST = 32_768;

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address, text);
  return address;
}

function rule(firstPort: number, fields: Partial<PublishRule> = {}): PublishRule {
  return { protocol: 'tcp', address: undefined, firstPort, lastPort: firstPort, toPort: undefined, ...fields };
}

/** A host whose bind(2), listen(2) and socket(2) can be made to fail. */
class Host extends SimulatedSys {
  onBind: (address: Int32Array) => number = () => 0;
  onSocket: (family: number) => number = () => 0;
  onListen: () => number = () => 0;

  override bind(fd: number, address: Int32Array): number {
    return this.onBind(address) || super.bind(fd, address);
  }

  override socket(family: number, type: number, protocol: number): number {
    return this.onSocket(family) || super.socket(family, type, protocol);
  }

  override listen(fd: number, backlog: number): number {
    return this.onListen() || super.listen(fd, backlog);
  }

  /** Somebody else's program. */
  occupy(address: string, port: number, type: number = SOCKET_TYPE.STREAM): void {
    const { w0, w1, w2, w3 } = ip(address);
    const fd = super.socket(address.includes(':') ? SOCKET_FAMILY.INET6 : SOCKET_FAMILY.INET, type, 0);
    assert.equal(super.bind(fd, Int32Array.of(w0, w1, w2, w3, port, 0)), 0);
    if (type === SOCKET_TYPE.STREAM) assert.equal(super.listen(fd, 1), 0);
  }
}

function texts(opened: Result<PublishedSocket[]>): string[] {
  assert.ok(opened.ok, opened.ok ? '' : opened.failure.message);
  return opened.value.map(({ address, port, guestPort }) => `${address} ${port} ${guestPort}`);
}

/** The failure's code and message; nothing may be open but what was before. */
function refusal(host: Host, rules: PublishRule[], families: typeof BOTH = BOTH): string {
  const before = host.openDescriptors();
  const opened = openPublished(host, rules, families);
  assert.ok(!opened.ok);
  assert.deepEqual(host.openDescriptors(), before);
  return `${opened.failure.code}: ${opened.failure.message}`;
}

describe('published ports', () => {
  it('are open in every family that the guest has', () => {
    assert.deepEqual(texts(openPublished(new Host(), [rule(8080)], BOTH)), ['0.0.0.0 8080 8080', ':: 8080 8080']);
    assert.deepEqual(texts(openPublished(new Host(), [rule(8080)], { ipv4: false, ipv6: true })), [':: 8080 8080']);
    assert.deepEqual(texts(openPublished(new Host(), [rule(8080)], { ipv4: true, ipv6: false })), [
      '0.0.0.0 8080 8080',
    ]);
    assert.deepEqual(texts(openPublished(new Host(), [], BOTH)), []);
  });

  it('are open at the address that was asked for, and there alone', () => {
    const at = (address: string): string[] =>
      texts(openPublished(new Host(), [rule(80, { address: ip(address) })], BOTH));
    assert.deepEqual(at('127.0.0.1'), ['127.0.0.1 80 80']);
    assert.deepEqual(at('::1'), ['::1 80 80']);
  });

  it('lead to the ports that were asked for, range by range', () => {
    const family = { ipv4: true, ipv6: false };
    const rules = [
      rule(8000, { lastPort: 8002, toPort: 80 }),
      rule(9000, { lastPort: 9001 }),
      rule(53, { toPort: 5353, protocol: 'udp' }),
    ];
    assert.deepEqual(texts(openPublished(new Host(), rules, family)), [
      '0.0.0.0 8000 80',
      '0.0.0.0 8001 81',
      '0.0.0.0 8002 82',
      '0.0.0.0 9000 9000',
      '0.0.0.0 9001 9001',
      '0.0.0.0 53 5353',
    ]);
  });

  it('listen where they are of TCP, and take datagrams where they are of UDP', () => {
    const host = new Host();
    let listening = 0;
    host.onListen = () => {
      listening++;
      return 0;
    };
    assert.equal(texts(openPublished(host, [rule(80), rule(80, { protocol: 'udp' })], BOTH)).length, 4);
    assert.equal(listening, 2);
    assert.equal(host.openDescriptors().length, 4);
  });
});

describe('a port that the kernel picks', () => {
  it('is the same in both families, and outside and inside unless it leads elsewhere', () => {
    const port = EPHEMERAL_FIRST;
    assert.deepEqual(texts(openPublished(new Host(), [rule(0)], BOTH)), [
      `0.0.0.0 ${port} ${port}`,
      `:: ${port} ${port}`,
    ]);
    assert.deepEqual(texts(openPublished(new Host(), [rule(0, { toPort: 80 })], BOTH)), [
      `0.0.0.0 ${port} 80`,
      `:: ${port} 80`,
    ]);
  });

  it('is another one when the other family does not have it free', () => {
    const host = new Host();
    host.occupy('::', EPHEMERAL_FIRST);
    const port = EPHEMERAL_FIRST + 1;
    assert.deepEqual(texts(openPublished(host, [rule(0)], BOTH)), [`0.0.0.0 ${port} ${port}`, `:: ${port} ${port}`]);
    assert.equal(host.openDescriptors().length, 3);
  });

  it('is given up when none is free in both, and at once for any other reason', () => {
    const host = new Host();
    let tries = 0;
    const failSecond = (errno: number) => (address: Int32Array) => {
      if (address[2] === 0xffff) return 0;
      tries++;
      return -errno;
    };
    host.onBind = failSecond(ERRNO.EADDRINUSE);
    assert.match(refusal(host, [rule(0)]), /^port-in-use: /);
    assert.equal(tries, 16);
    host.onBind = failSecond(ERRNO.ENOMEM);
    assert.match(refusal(host, [rule(0)]), /^port-failed: .*ENOMEM/);
    assert.equal(tries, 17);
  });

  it('is picked in the family that the host has', () => {
    const host = new Host();
    host.onSocket = (family) => (family === SOCKET_FAMILY.INET ? -ERRNO.EAFNOSUPPORT : 0);
    assert.deepEqual(texts(openPublished(host, [rule(0)], BOTH)), [`:: ${EPHEMERAL_FIRST} ${EPHEMERAL_FIRST}`]);
    host.onSocket = (family) => (family === SOCKET_FAMILY.INET6 ? -ERRNO.EAFNOSUPPORT : 0);
    assert.equal(texts(openPublished(host, [rule(0)], BOTH)).length, 1);
    host.onSocket = () => -ERRNO.EAFNOSUPPORT;
    assert.match(refusal(host, [rule(0)]), /^family-missing: /);
  });
});

describe('a family that is not there', () => {
  it('is done without, whether the kernel does not know it or has it switched off', () => {
    const host = new Host();
    host.onSocket = (family) => (family === SOCKET_FAMILY.INET6 ? -ERRNO.EAFNOSUPPORT : 0);
    assert.deepEqual(texts(openPublished(host, [rule(80)], BOTH)), ['0.0.0.0 80 80']);
    const off = new Host();
    off.onBind = (address) => (address[2] === 0xffff ? 0 : -ERRNO.EADDRNOTAVAIL);
    assert.deepEqual(texts(openPublished(off, [rule(80)], BOTH)), ['0.0.0.0 80 80']);
  });

  it('is a failure when its address was asked for', () => {
    const host = new Host();
    host.onSocket = (family) => (family === SOCKET_FAMILY.INET6 ? -ERRNO.EAFNOSUPPORT : 0);
    assert.match(refusal(host, [rule(80, { address: ip('::1') })]), /^family-missing: can't publish \[::1\]:80\/tcp: /);
  });

  it('is a failure when nothing is left to publish at', () => {
    const host = new Host();
    host.onSocket = () => -ERRNO.EAFNOSUPPORT;
    assert.match(refusal(host, [rule(80)]), /^family-missing: /);
    assert.match(refusal(host, [rule(80)], { ipv4: false, ipv6: true }), /^family-missing: /);
    assert.match(refusal(host, [rule(80)], { ipv4: false, ipv6: false }), /^family-missing: /);
  });

  it('is a failure when the guest does not have it and its address was asked for', () => {
    assert.match(
      refusal(new Host(), [rule(80, { address: ip('::1') })], { ipv4: true, ipv6: false }),
      /^family-missing: .*::1/,
    );
    assert.match(
      refusal(new Host(), [rule(0, { address: ip('127.0.0.1') })], { ipv4: false, ipv6: true }),
      /^family-missing: /,
    );
  });
});

describe('a port that can not be published', () => {
  it('leaves nothing open of any rule', () => {
    const host = new Host();
    host.occupy('::', 9001);
    const rules = [rule(80), rule(81, { protocol: 'udp' }), rule(9000, { lastPort: 9005 })];
    assert.equal(
      refusal(host, rules),
      "port-in-use: can't publish [::]:9001/tcp: another program has it; choose another port, or 0 for any",
    );
    host.occupy('0.0.0.0', 7, SOCKET_TYPE.DGRAM);
    assert.match(
      refusal(host, [rule(80), rule(7, { protocol: 'udp' })]),
      /^port-in-use: can't publish 0\.0\.0\.0:7\/udp: /,
    );
  });

  it('is told with what to do', () => {
    const told = (errno: number, address?: string, fields: Partial<PublishRule> = {}): string => {
      const host = new Host();
      host.onBind = () => -errno;
      return refusal(host, [rule(80, { address: address === undefined ? undefined : ip(address), ...fields })]);
    };
    assert.match(told(ERRNO.EACCES), /^port-denied: .*ip_unprivileged_port_start.* such as 8080:80$/);
    assert.match(told(ERRNO.EACCES, undefined, { toPort: 3000 }), /such as 8080:3000$/);
    assert.match(told(ERRNO.EADDRNOTAVAIL, '192.0.2.9'), /^address-not-local: .*192\.0\.2\.9:80\/tcp: .*"ip address"/);
    assert.match(told(ERRNO.EINVAL, 'fe80::9'), /^port-failed: .*link-local/);
    assert.match(told(ERRNO.EPERM), /^port-failed: .*EPERM$/);
  });

  it('says that descriptors are exhausted', () => {
    const host = new Host({ descriptorsMax: 10 });
    assert.match(refusal(host, [rule(1000, { lastPort: 1100 })]), /^descriptors-exhausted: .*"ulimit -n"/);
  });

  it('may be one that can be bound but not listened at', () => {
    const host = new Host();
    host.onListen = () => -ERRNO.EADDRINUSE;
    assert.match(refusal(host, [rule(80)]), /^port-in-use: /);
  });
});
