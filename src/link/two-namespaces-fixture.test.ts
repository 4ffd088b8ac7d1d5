/**
 * Two network namespaces that only reach each other through us: each has a device of the host's kernel, whose frames the test carries across, and programs in the one
 * talk to programs in the other.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { ARENA_BYTES, JOIN_ARENA_BYTES, PACKETS_MAX, SEGMENT_ARENA_BYTES, TAG_ARENA_BYTES } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { closeHostTap, type HostTap, openHostTap, type TapOptions } from '../sys/host-tap.ts';
import { LinuxSys } from '../sys/linux.ts';
import { openNetworkNamespace } from '../sys/namespace-path.ts';
import { startContainer, unwrap } from '../sys/own-namespace-fixture.test.ts';
import { TUN_F } from '../sys/tun.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';

const ECHO = `
  const server = require('net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s));
  server.listen(5000, '::', () => console.log('listening'));`;

/** Sends what must come back: the bytes are their position's, so that none can take the place of another. */
const CLIENT = `
  const [address, bytesText] = process.argv.slice(1);
  const { createHash } = require('crypto');
  const sent = Buffer.alloc(Number(bytesText));
  for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(Math.imul(at, 0x9e3779b1) >>> 0, at);
  const hash = createHash('sha256');
  let bytes = 0;
  const socket = require('net').connect({ host: address, port: 5000, allowHalfOpen: true }, () => socket.end(sent));
  socket.on('data', (data) => { bytes += data.length; hash.update(data); });
  socket.on('end', () => {
    const isSame = hash.digest('hex') === createHash('sha256').update(sent).digest('hex');
    console.log(bytes + (isSame ? ' the same' : ' but others'));
    process.exit(isSame ? 0 : 1);
  });`;

export class Network {
  readonly sys: LinuxSys = new LinuxSys();
  readonly packets: Packets;
  readonly tagged: Packets;
  readonly joined: Packets;
  readonly segments: Packets;
  readonly arenaMemory: number;
  /** Frames that were received with more than one segment in them. */
  large: number = 0;
  readonly #t: TestContext;
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #one: Int32Array = new Int32Array(1);
  readonly #ways: [from: Link, carry: (packet: Packet) => Link | undefined][] = [];

  constructor(t: TestContext) {
    this.#t = t;
    const joined = ARENA_BYTES + TAG_ARENA_BYTES;
    const memory = new Uint8Array(joined + JOIN_ARENA_BYTES + SEGMENT_ARENA_BYTES);
    this.packets = new Packets(ARENA_BYTES, PACKETS_MAX, memory);
    this.tagged = new Packets(TAG_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
    this.joined = new Packets(JOIN_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined);
    this.segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined + JOIN_ARENA_BYTES);
    this.arenaMemory = this.sys.register(memory);
  }

  /** A namespace, "pid:N". */
  async namespace(): Promise<string> {
    return (await startContainer(this.#t)).text;
  }

  /** A device in a namespace; `commands` for a shell in there follow. */
  open(namespace: string, options: TapOptions, commands: string): HostTap {
    const { fd } = unwrap(openNetworkNamespace(namespace));
    const tap = unwrap(openHostTap({ ...options, namespaceFd: fd }));
    closeSync(fd);
    this.#t.after(() => closeHostTap(tap));
    // No address is tried before it is used, and nobody asks for routers.
    const quiet = 'for f in accept_dad router_solicitations; do echo 0 > /proc/sys/net/ipv6/conf/default/$f; done;';
    inside(namespace, 'sh', '-ec', `${quiet} ${commands}`);
    return tap;
  }

  /** What comes by `from` leaves by the link that `carry` names for each packet, with whatever it did to it. */
  carry(from: Link, carry: (packet: Packet) => Link | undefined): void {
    this.#ways.push([from, carry]);
  }

  /** Sends bytes by TCP from the one namespace to the other, and all back. */
  async echo(from: string, to: string, address: string, bytes: number): Promise<void> {
    const server = start(to, process.execPath, '-e', ECHO);
    this.#t.after(() => server.kill('SIGKILL'));
    await new Promise((resolve) => server.stdout?.once('data', resolve));
    const out = await this.run(from, process.execPath, '-e', CLIENT, address, String(bytes));
    assert.equal(out.trim(), `${bytes} the same`);
    server.kill('SIGKILL');
    await new Promise((resolve) => server.once('close', resolve));
  }

  /** Runs a program to its end, carrying frames all the while, and returns what it printed. */
  async run(namespace: string, ...command: string[]): Promise<string> {
    const child = start(namespace, 'timeout', '120', ...command);
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (out += data));
    let status: number | null | undefined;
    child.once('close', (code) => (status = code));
    while (status === undefined) {
      this.#turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(status, 0, `${command[0]}: ${out}`);
    return out;
  }

  #turn(): void {
    for (const [from, carry] of this.#ways) {
      const got = from.receive(this.packets, this.#frame, FRAME_PACKETS_MAX);
      assert.ok(got >= 0, `errno ${-got}`);
      for (const packet of this.#frame.subarray(0, got)) {
        const { view, start, length } = this.packets;
        const header = start[packet] - VNET_HEADER_BYTES;
        assert.equal(vnet.check(view, header, length[packet]), VNET_HEADER_BYTES);
        if (vnet.gsoType(view, header) !== vnet.GSO_NONE) this.large++;
        this.#one[0] = packet;
        const to = carry(packet);
        if (to !== undefined) assert.equal(to.transmit(this.packets, this.#one, 1), 1, to.name);
      }
      this.packets.reset();
    }
  }
}

export function offloadOf({ offloads }: HostTap): LinkOffload {
  if ((offloads & TUN_F.CSUM) === 0) return NO_OFFLOAD;
  const udp = TUN_F.USO4 | TUN_F.USO6;
  return { checksum: true, tcpSegmentation: (offloads & TUN_F.TSO4) !== 0, udpSegmentation: (offloads & udp) === udp };
}

/** Runs a program in a namespace, and returns what it printed. Nothing is carried in the meantime. */
export function inside(namespace: string, ...command: string[]): string {
  const { status, stdout, stderr } = spawnSync('nsenter', enter(namespace, command), { encoding: 'utf8' });
  assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
  return stdout;
}

function start(namespace: string, ...command: string[]): ChildProcess {
  return spawn('nsenter', enter(namespace, command), { stdio: ['ignore', 'pipe', 'pipe'] });
}

function enter(namespace: string, command: readonly string[]): string[] {
  return [`--net=/proc/${namespace.slice(4)}/ns/net`, '--', ...command];
}
