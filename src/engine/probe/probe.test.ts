import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parseIpAddress } from '../../base/address.ts';
import { ERRNO } from '../../sys/errno.ts';
import { LinuxSys } from '../../sys/linux.ts';
import { SOCKET_TYPE, type Sys } from '../../sys/sys.ts';
import { TUN_F } from '../../sys/tun.ts';
import { probeTunDevice, probeVhostNet } from './devices.ts';
import { echoOnce } from './echo.ts';
import { probeDescriptors, probePorts } from './limits.ts';
import { tellOffloads } from './namespace.ts';
import { probePeekOffset } from './peek-offset.ts';
import { probePingSockets } from './ping.ts';
import { probeMachine } from './probe.ts';
import { nameservers, probeResolvers } from './resolvers.ts';
import { probeLandlock, probeSeccomp } from './sandbox.ts';
import { probeKernel, probeNode } from './versions.ts';

const folder = mkdtempSync(join(tmpdir(), 'tapster-probe-'));
after(() => rmSync(folder, { recursive: true }));

const isRoot = process.geteuid?.() === 0;

describe('probeLandlock, probeSeccomp', () => {
  it('say what the sandbox has to do without', () => {
    assert.deepEqual([probeLandlock(7).status, probeLandlock(7).found], ['ok', 'version 7']);
    const { status, found, without, fix } = probeLandlock('the kernel has no Landlock');
    assert.deepEqual([status, found], ['warning', 'the kernel has no Landlock']);
    assert.match(without!, /files .* are not kept from/);
    assert.match(fix!, /lsm=/);
    assert.equal(probeSeccomp(undefined).status, 'ok');
    assert.equal(probeSeccomp('there is no table of them for riscv64').status, 'warning');
  });
});

describe('probeKernel, probeNode', () => {
  it('compare versions as numbers', () => {
    assert.equal(probeKernel('6.18.44-cloud').status, 'ok');
    assert.equal(probeKernel('5.10.0').status, 'ok');
    assert.equal(probeKernel('4.19.0').status, 'missing');
    assert.equal(probeNode('20.20.0').status, 'ok');
    assert.equal(probeNode('20.9.1').status, 'missing');
    assert.equal(probeNode('22.0.0').status, 'ok');
  });
});

describe('probeTunDevice, probeVhostNet', () => {
  it('open the device', () => {
    const path = join(folder, 'device');
    writeFileSync(path, '', { mode: 0o600 });
    assert.deepEqual(probeTunDevice(path), {
      id: 'tun-device',
      title: 'TUN device',
      status: 'ok',
      found: `${path} (0600) opens`,
    });
  });

  it('say what repairs it', () => {
    const missing = probeTunDevice(join(folder, 'nothing'));
    assert.equal(missing.status, 'missing');
    assert.match(missing.fix ?? '', /^modprobe tun/);
    assert.equal(probeVhostNet(join(folder, 'nothing')).status, 'info');
  });

  it('know a device that may not be opened', { skip: isRoot ? 'root may open everything' : false }, () => {
    const path = join(folder, 'denied');
    writeFileSync(path, '', { mode: 0 });
    assert.match(probeTunDevice(path).fix ?? '', /^chmod 0666/);
  });
});

describe('tellOffloads', () => {
  it('names what was agreed upon', () => {
    const tcp = TUN_F.CSUM | TUN_F.TSO4 | TUN_F.TSO6;
    assert.equal(tellOffloads(tcp | TUN_F.USO4 | TUN_F.USO6).status, 'ok');
    assert.deepEqual([tellOffloads(tcp).status, tellOffloads(tcp).found], ['warning', 'checksum, TCP segmentation']);
    assert.equal(tellOffloads(tcp).without, 'UDP segments cross one by one');
    for (const none of [0, undefined, -ERRNO.EINVAL]) assert.equal(tellOffloads(none).found, 'none');
  });
});

describe('probePorts, probeDescriptors', () => {
  it('tell limits', { skip: isRoot ? 'root may listen at all ports' : false }, () => {
    assert.equal(probePorts(0).status, 'ok');
    assert.match(probePorts(1024).without ?? '', /below 1024 fails/);
  });

  it('read the limit of descriptors', () => {
    const limits = (hard: string): string =>
      `Limit  Soft  Hard\nMax open files            1024                 ${hard}   files`;
    assert.equal(probeDescriptors(limits('1048576')).status, 'ok');
    assert.equal(probeDescriptors(limits('unlimited')).status, 'ok');
    assert.match(probeDescriptors(limits('4096')).without ?? '', /^about 3072 flows/);
    assert.equal(probeDescriptors('nothing of it').status, 'info');
  });
});

describe('probeResolvers', () => {
  it('reads resolv.conf', () => {
    assert.deepEqual(
      nameservers('# nameserver 1.2.3.4\nnameserver 10.0.0.1\nnameserver\tfe80::1%eth0\nnameserver x\n'),
      ['10.0.0.1', 'fe80::1%eth0'],
    );
    assert.equal(nameservers('nameserver 10.0.0.1\n'.repeat(9)).length, 3);
  });

  it('says when there is none', async () => {
    const path = join(folder, 'resolv.conf');
    assert.match((await probeResolvers(path)).found, /ENOENT/);
    writeFileSync(path, 'search example.org\n');
    assert.match((await probeResolvers(path)).found, /names none/);
  });

  it('asks', async () => {
    const path = join(folder, 'closed.conf');
    // Nobody listens at port 53 of this one, or somebody answers: both are told.
    writeFileSync(path, 'nameserver 127.254.254.254\n');
    assert.match((await probeResolvers(path)).found, /^127\.254\.254\.254 (is silent|answers)$/);
  });
});

describe('probePingSockets', () => {
  /** Ping sockets are refused, and raw ones too unless `raw`. */
  const fake = (raw: boolean): Sys =>
    ({
      socket: (_family: number, type: number) => (raw && type === SOCKET_TYPE.RAW ? 3 : -ERRNO.EACCES),
      close: () => 0,
    }) as unknown as Sys;

  it('tells how they are refused, and what serves instead', () => {
    const refused = probePingSockets(fake(false));
    assert.equal(refused.status, 'warning');
    assert.match(refused.found, /^EACCES: net\.ipv4\.ping_group_range is ".*", our groups are \d+/);
    assert.match(refused.fix ?? '', /^sysctl -w net\.ipv4\.ping_group_range=/);
    assert.equal(probePingSockets(fake(true)).status, 'ok');
  });
});

describe('probes on this machine', () => {
  it('leave no descriptor open and agree with the kernel on TCP', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const check = await probePeekOffset(new LinuxSys());
    assert.equal(open(), before);
    assert.match(check.found, /^IPv4 (yes|no), IPv6 (yes|no|not there)$/);
  });

  it('all end, with what belongs to each', async () => {
    const checks = await probeMachine();
    assert.equal(new Set(checks.map(({ id }) => id)).size, checks.length);
    for (const check of checks) {
      assert.ok(check.found.length > 0, check.id);
      if (check.status === 'missing' || check.status === 'warning') assert.ok(check.without !== undefined, check.id);
    }
  });

  it('ping the loopback where ping sockets are allowed', async (t) => {
    const echo = await echoOnce(new LinuxSys(), parseIpAddress('127.0.0.1')!, 60_000);
    if (!echo.ok && echo.failure.code === 'ping-denied') return t.skip(echo.failure.message);
    assert.ok(echo.ok && echo.value >= 0);
  });
});
