/**
 * UDP and ICMP translation on the real kernel, in a network namespace of its own (this file runs itself again in one): its loopback has
 * the addresses that the guest talks to. What is proved here is what the simulated system only claims: segments, merged datagrams,
 * error queues, ping and raw sockets.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../base/eventually-fixture.test.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { LinuxSys } from '../sys/linux.ts';
import { SOL, UDP } from '../sys/options.ts';
import { DATAGRAM_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { Bench, type BenchOptions, type GuestFrame } from './datagram-bench-fixture.test.ts';

const INSIDE = 'TAPSTER_TEST_NAMESPACE';
const SETUP = `ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip -6 addr add 2001:db8:0:1::1/128 dev lo nodad && exec "$0" --test-reporter=tap "$1"`;
const FULL = { checksum: true, tcpSegmentation: true, udpSegmentation: true };
const REMOTE4_WORDS = [0, 0, 0xffff, (192 << 24) | (2 << 8) | 1];
const REMOTE6_WORDS = [0x20010db8, 1, 0, 1];

if (process.env[INSIDE] === undefined) outside();
else inside();

function outside(): void {
  const probe = spawnSync('unshare', ['--net', '--map-root-user', 'ip', 'link']);
  const skip = probe.status === 0 ? false : 'unshare --net --map-root-user does not work here';
  it('datagrams on the real kernel', { skip }, () => {
    const environment = { ...process.env, [INSIDE]: '1' };
    // Told by the runner about itself, a test file below it would report to it and print nothing.
    delete (environment as NodeJS.ProcessEnv)['NODE_TEST_CONTEXT'];
    const command = ['--net', '--map-root-user', 'sh', '-c', SETUP, process.execPath, fileURLToPath(import.meta.url)];
    const run = spawnSync('unshare', command, { env: environment, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });
}

class Server {
  readonly sys: LinuxSys;
  readonly fd: number;
  readonly bytes: Uint8Array = new Uint8Array(1 << 20);
  readonly records: Int32Array = new Int32Array(64 * DATAGRAM_WORDS);
  readonly #memory: number;
  readonly #recordsMemory: number;

  constructor(sys: LinuxSys, words: readonly number[], port: number) {
    this.sys = sys;
    const family = words[2] === 0xffff ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6;
    this.fd = sys.socket(family, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
    assert.equal(sys.bind(this.fd, Int32Array.of(...words, port, 0)), 0);
    assert.equal(sys.setOption(this.fd, SOL.UDP, UDP.GRO, 1), 0);
    this.#memory = sys.register(this.bytes);
    this.#recordsMemory = sys.register(this.records);
  }

  /** Waits until there are so many datagrams. */
  async receive(count: number): Promise<void> {
    let received = 0;
    const isThere = (): boolean => {
      const at = received * DATAGRAM_WORDS;
      const got = this.sys.receiveDatagrams(this.fd, this.#memory, 0, 1 << 20, 0, 65_536, this.#recordsMemory, at, 8);
      received += Math.max(got, 0);
      return received >= count;
    };
    await eventually('the datagrams are there', isThere);
    assert.equal(received, count);
  }

  /** Sends the first datagram back, cut into segments. */
  answer(segment: number): void {
    this.records[2] = segment;
    this.records[3] = -1;
    this.records[4] = -1;
    assert.equal(this.sys.sendDatagrams(this.fd, this.#memory, this.#recordsMemory, 0, 1), 1);
  }
}

/** What the guest gets: so many frames, and what comes with them. */
async function settle(bench: Bench, count: number = 1): Promise<GuestFrame[]> {
  await eventually('the guest has its answers', () => {
    bench.turn();
    return bench.guest.length >= count;
  });
  bench.turn();
  return bench.taken();
}

/** A new namespace allows nobody to have a ping socket. */
function allowPing(): void {
  writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 0');
}

function inside(): void {
  const sys = new LinuxSys();
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  const udp4 = (payload: make.Bytes, port: number = 7000): number[] =>
    make.ethernet(0x800, make.ip4(17, make.udp(4000, port, payload)));
  const udp6 = (payload: make.Bytes, port: number = 7000): number[] =>
    make.ethernet(0x86dd, make.ip6(17, make.udp(4000, port, payload, make.GUEST6, make.REMOTE6)));
  const start = (options: BenchOptions = {}): Bench => new Bench(sys, options);

  for (const [version, words, datagram] of [['4', REMOTE4_WORDS, udp4] as const, ['6', REMOTE6_WORDS, udp6] as const]) {
    describe(`udp over IPv${version}`, () => {
      it('sends neighbours as segments of one datagram, and gets merged ones in one piece', async () => {
        const bench = start({ offload: FULL });
        const server = new Server(sys, words, 7000);
        const payloads = [0, 1, 2, 3].map((i) => numbers(1000 + i).slice(i));
        bench.turn(...payloads.map((payload) => datagram(payload)));
        assert.equal(bench.udp.sendQueue.merged, 3);
        assert.equal(bench.udp.sendQueue.batches, 1);
        // The kernel passed it on in one piece.
        await server.receive(1);
        assert.deepEqual([...server.records.subarray(1, 3)], [4000, 1000]);
        assert.deepEqual([...server.bytes.subarray(0, 4000)], payloads.flat());
        server.answer(1000);
        const [answer, ...more] = await settle(bench);
        assert.deepEqual(more, []);
        assert.deepEqual(answer.vnet.slice(0, 2), [1, 5]);
        assert.deepEqual(answer.vnet.slice(4, 6), [1000 & 0xff, 1000 >> 8]);
        assert.deepEqual(answer.frame.slice(-4000), payloads.flat());
        bench.close();
        sys.close(server.fd);
      });

      it('sends one by one what is too large for the path', async () => {
        const bench = start({ offload: FULL, mtu: 65_520 });
        const server = new Server(sys, words, 7000);
        spawnSync('ip', ['link', 'set', 'lo', 'mtu', '1500']);
        bench.turn(datagram(numbers(4000)), datagram(numbers(4000)), datagram(numbers(100)));
        await server.receive(3);
        spawnSync('ip', ['link', 'set', 'lo', 'mtu', '65536']);
        const lengths = [0, 1, 2].map((i) => server.records[i * DATAGRAM_WORDS + 1]);
        assert.deepEqual(lengths, [4000, 4000, 100]);
        assert.deepEqual(bench.taken(), []);
        bench.close();
        sys.close(server.fd);
      });

      it('hears that a port is closed', async () => {
        const bench = start();
        bench.turn(datagram([1, 2, 3, 4], 9999));
        const [answer] = await settle(bench);
        const at = version === '4' ? 34 : 54;
        assert.deepEqual(answer.frame.slice(at, at + 2), version === '4' ? [3, 3] : [1, 4]);
        assert.deepEqual(answer.frame.slice(-4), [1, 2, 3, 4]);
        // The error does not stand in the way of what comes next.
        const server = new Server(sys, words, 9999);
        bench.turn(datagram([5], 9999));
        await server.receive(1);
        bench.close();
        sys.close(server.fd);
      });
    });
  }

  const ping4 = make.ethernet(0x800, make.ip4(1, make.icmp4(8, 0, [0x12, 0x34, 0, 9, 1, 2, 3])));
  const ping6 = make.ethernet(0x86dd, make.ip6(58, make.icmp6(128, 0, [0x12, 0x34, 0, 9, 1, 2, 3])));
  for (const allowed of [false, true]) {
    describe(allowed ? 'ping sockets' : 'raw sockets in their place', () => {
      it('carry echo requests and replies of both versions', async () => {
        if (allowed) allowPing();
        const bench = start();
        bench.turn(ping4, ping6);
        const answers = await settle(bench, 2);
        assert.equal(bench.icmp.sockets.raw[bench.icmp.sockets.of[0]], allowed ? 0 : 1);
        const first = answers.find(({ frame }) => frame[12] === 8);
        const second = answers.find(({ frame }) => frame[12] === 0x86);
        assert.equal(answers.length, 2);
        assert.deepEqual(first?.frame.slice(34), make.icmp4(0, 0, [0x12, 0x34, 0, 9, 1, 2, 3]));
        const message = make.icmp6(129, 0, [0x12, 0x34, 0, 9, 1, 2, 3], make.REMOTE6, make.GUEST6);
        assert.deepEqual(second?.frame.slice(54), message);
        bench.close();
      });
    });
  }
}
