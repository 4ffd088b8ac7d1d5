/** Who comes to the socket of a guest, one after the other or all at once. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LinuxSys } from '../sys/linux.ts';
import { connectUnix, listenUnix, unixCalls } from '../sys/unix-socket.ts';
import { GuestListener } from './guest-listener.ts';

class Scene {
  readonly sys: LinuxSys = new LinuxSys();
  readonly folder: string = mkdtempSync(join(tmpdir(), 'listener-'));
  readonly path: string = join(this.folder, 'socket');
  readonly heard: string[] = [];
  readonly guests: number[] = [];
  readonly clients: number[] = [];
  readonly listener: GuestListener;
  /** There is something to accept. */
  ready: () => void = () => {};
  readonly byte: number = this.sys.register(new Uint8Array(1));

  constructor() {
    const opened = listenUnix(this.path);
    assert.ok(opened.ok);
    const engine = {
      watch: (_fd: number, _events: number, ready: (events: number) => void) => {
        this.ready = () => ready(1);
        return () => {};
      },
    };
    this.listener = new GuestListener(engine, opened.value, {
      attached: (fd) => {
        this.guests.push(fd);
        this.heard.push('attached');
      },
      refused: (peer) => void this.heard.push(`refused ${peer.split(' ').slice(0, 2).join(' ')}`),
      removePath: () => rmSync(this.path),
    });
  }

  connect(): void {
    const connected = connectUnix(this.path);
    assert.ok(connected.ok);
    this.clients.push(connected.value);
  }

  /** How many were sent away. */
  get sentAway(): number {
    return this.clients.filter((fd) => unixCalls.unixReceive(fd, this.byte, 0, 1, new Int32Array(2)) === 0).length;
  }

  close(): void {
    this.listener.close();
    for (const fd of [...this.guests, ...this.clients]) closeSync(fd);
    rmSync(this.folder, { recursive: true });
  }
}

describe('who comes to the socket of a guest', () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene();
  });
  afterEach(() => scene.close());

  it('is plugged in, and the next one in the place of who has gone', () => {
    scene.connect();
    scene.connect();
    scene.ready();
    assert.deepEqual([scene.heard, scene.sentAway], [['attached'], 0]);
    scene.listener.release();
    assert.deepEqual([scene.heard, scene.sentAway], [['attached', 'attached'], 0]);
  });

  it('is sent away in vain again and again, and told of once', () => {
    for (let i = 0; i < 6; i++) scene.connect();
    scene.ready();
    assert.deepEqual([scene.heard, scene.sentAway], [['attached', `refused pid ${process.pid}`], 4]);
  });

  it('waits for one who has gone, of whom there is something left to be read', (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    scene.connect();
    scene.ready();
    scene.sys.write(scene.clients[0]!, scene.byte, 0, 1);
    scene.connect();
    scene.ready();
    closeSync(scene.clients.shift()!);
    for (let i = 0; i < 3; i++) context.mock.timers.tick(50);
    assert.deepEqual([scene.heard, scene.sentAway], [['attached'], 0]);
    scene.listener.release();
    assert.deepEqual(scene.heard, ['attached', 'attached']);
    scene.connect();
    scene.ready();
    context.mock.timers.tick(50);
    assert.deepEqual([scene.heard.length, scene.sentAway], [3, 1]);
  });

  it('does not keep a turn from its end, however many come', () => {
    for (let i = 0; i < 12; i++) scene.connect();
    scene.ready();
    assert.ok(scene.sentAway < 10, 'some are left for the next turn');
    scene.ready();
    assert.equal(scene.sentAway, 10);
  });
});
