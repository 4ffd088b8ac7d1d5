/**
 * The two stacks that are compared. Linux: the kernel of this network namespace behind a tap, with a server of Node's on it. Tapster: an engine on a simulated host, whose far end does
 * as that server does.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { LinuxSys } from '#tapster/sys/linux.js';
import { IFF, tunOpen } from '#tapster/sys/tun.js';
import { GUEST4, REMOTE4, VNET_BYTES } from '../fuzz/frames.ts';
import { PORT } from '../fuzz/guest-script.ts';
import { Rig } from '../fuzz/rig.ts';
import type { Deed } from './scripts.ts';
import type { Ends } from './segment.ts';

export interface Stack {
  readonly name: 'linux' | 'tapster';
  ends(guestPort: number, refused: boolean): Ends;
  /** Each returns the Ethernet frames that came of it. */
  send(frame: Uint8Array): Promise<Uint8Array[]>;
  act(deed: Deed): Promise<Uint8Array[]>;
  close(): Promise<void>;
}

const LINUX4 = 0x0a4d_0001;
const LINUX_GUEST4 = 0x0a4d_0002;
/** Answers come at once, a delayed acknowledgement within 40 ms; 200 ms would be a retransmission. */
const QUIET_MS = 60;
const FRAMES_MAX = 32;
const FRAME_BYTES_MAX = 2048;

export class TapsterStack implements Stack {
  readonly name = 'tapster';
  readonly #rig: Rig = new Rig();
  #frames: Uint8Array[] = [];

  constructor() {
    this.#rig.sys.network.stream('198.51.100.7', PORT, {});
    this.#rig.onFrame = (frame) => this.#frames.push(frame.slice(VNET_BYTES));
  }

  ends(guestPort: number, refused: boolean): Ends {
    return { guest: GUEST4, remote: REMOTE4, guestPort, remotePort: refused ? PORT + 1 : PORT };
  }

  async send(frame: Uint8Array): Promise<Uint8Array[]> {
    const whole = new Uint8Array(VNET_BYTES + frame.length);
    whole.set(frame, VNET_BYTES);
    this.#rig.device.send(whole);
    return this.#settle();
  }

  async act({ app, bytes = 0 }: Deed): Promise<Uint8Array[]> {
    const peer = this.#rig.sys.network.peers.at(-1);
    if (app === 'send') peer?.send(new Uint8Array(bytes));
    else if (app === 'end') peer?.end();
    else peer?.reset();
    return this.#settle();
  }

  async close(): Promise<void> {
    this.#rig.close();
  }

  #settle(): Uint8Array[] {
    this.#frames = [];
    this.#rig.wait(QUIET_MS * 1000);
    return this.#frames;
  }
}

export class LinuxStack implements Stack {
  readonly name = 'linux';
  readonly #sys: LinuxSys = new LinuxSys();
  readonly #bytes: Uint8Array = new Uint8Array(FRAMES_MAX * FRAME_BYTES_MAX);
  readonly #memory: number = this.#sys.register(this.#bytes);
  readonly #vector: Int32Array = new Int32Array(2 * FRAMES_MAX);
  readonly #vectorMemory: number = this.#sys.register(this.#vector);
  readonly #tap: number;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];

  /** In a network namespace that is nobody else's. */
  static async open(): Promise<LinuxStack> {
    const stack = new LinuxStack();
    await new Promise<void>((resolve) => stack.#server.listen(PORT, '10.77.0.1', resolve));
    return stack;
  }

  private constructor() {
    this.#tap = tunOpen('lab0', IFF.TAP | IFF.NO_PI);
    assert.ok(this.#tap >= 0, `a tap: ${this.#tap}`);
    shell(`ip link set lo up
      echo 1 > /proc/sys/net/ipv6/conf/lab0/disable_ipv6
      ip link set lab0 address 02:00:00:00:00:02
      ip address add 10.77.0.1/24 dev lab0
      ip link set lab0 mtu 1500 up
      ip neighbour replace 10.77.0.2 lladdr 02:00:00:00:00:01 dev lab0
      echo 0 > /proc/sys/net/ipv4/tcp_invalid_ratelimit
      echo 0 > /proc/sys/net/ipv4/tcp_early_retrans`);
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.push(socket);
      socket.on('error', () => {}).resume();
    });
  }

  ends(guestPort: number, refused: boolean): Ends {
    return { guest: LINUX_GUEST4, remote: LINUX4, guestPort, remotePort: refused ? PORT + 1 : PORT };
  }

  async send(frame: Uint8Array): Promise<Uint8Array[]> {
    this.#drain();
    this.#bytes.set(frame);
    this.#vector[0] = 0;
    this.#vector[1] = frame.length;
    assert.equal(this.#sys.writeFrames(this.#tap, this.#memory, this.#vectorMemory, 0, 1), 1);
    return this.#collect();
  }

  async act({ app, bytes = 0 }: Deed): Promise<Uint8Array[]> {
    this.#drain();
    const socket = this.#sockets.at(-1);
    assert.ok(socket !== undefined, 'the server has a connection');
    if (app === 'send') socket.write(new Uint8Array(bytes));
    else if (app === 'end') socket.end();
    else socket.resetAndDestroy();
    return this.#collect();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#sys.close(this.#tap);
  }

  async #collect(): Promise<Uint8Array[]> {
    const frames = this.#drain();
    for (let quiet = 0; quiet < QUIET_MS; quiet += 5) {
      await delay(5);
      const more = this.#drain();
      if (more.length > 0) quiet = 0;
      frames.push(...more);
      if (frames.length > 200) break;
    }
    return frames;
  }

  #drain(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const end = this.#bytes.length;
      const { readFrames } = this.#sys;
      const got = readFrames(this.#tap, this.#memory, 0, end, FRAME_BYTES_MAX - 4, this.#vectorMemory, 0, FRAMES_MAX);
      if (got <= 0) return frames;
      for (let i = 0; i < got; i++) {
        const at = this.#vector[2 * i]!;
        frames.push(this.#bytes.slice(at, at + this.#vector[2 * i + 1]!));
      }
    }
  }
}

function shell(script: string): void {
  const { status, stderr } = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}
