/** Guests that come and go by datagrams, as the process that looks for them tells. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DatagramPeer, PeerState } from '../sys/datagram-peer.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, type Sys } from '../sys/sys.ts';
import { DatagramGuest } from './datagram-guest.ts';

class Scene {
  readonly heard: string[] = [];
  readonly guest: DatagramGuest;
  /** What the process tells next. */
  readonly told: (PeerState | number)[] = [];
  looks: number = 0;
  watched: boolean = false;
  sendResult: number = 0;
  #ready: (events: number) => void = () => {};

  constructor() {
    const peer: DatagramPeer = {
      fd: 5,
      read: () => this.told.shift(),
      look: () => void this.looks++,
      end: () => void this.heard.push('end'),
    };
    const engine = {
      watch: (_fd: number, _events: number, ready: (events: number) => void) => {
        this.#ready = ready;
        this.watched = true;
        return () => {
          assert.ok(this.watched, 'given up once');
          this.watched = false;
        };
      },
    };
    const sys = { register: () => 0, sendDatagrams: () => this.sendResult } as unknown as Sys;
    const queue = { bytes: new Uint8Array(1000), id: 0, at: 0, length: 1000 };
    this.guest = new DatagramGuest(
      engine,
      sys,
      peer,
      { name: 'vm', fd: 4, queue },
      {
        attached: () => void this.heard.push('attached'),
        gone: () => void this.heard.push('gone'),
        unreachable: (why) => void this.heard.push(why),
      },
    );
  }

  tell(...states: readonly (PeerState | number)[]): readonly string[] {
    this.heard.length = 0;
    this.told.push(...states);
    this.#ready(POLL.IN);
    return this.heard;
  }

  /** Sends a frame, of which the kernel says what it does. */
  send(result: number): readonly string[] {
    this.heard.length = 0;
    this.sendResult = result;
    const packets = { start: [0], length: [60] };
    this.guest.link.transmit(packets as never, Int32Array.of(0), 1);
    return this.heard;
  }
}

const NOBODY = { error: ERRNO.ENOENT, number: 0 };

describe('a guest by datagrams', () => {
  it('comes, goes, and comes again', () => {
    const scene = new Scene();
    assert.deepEqual(scene.tell(NOBODY), []);
    assert.deepEqual(scene.tell({ error: 0, number: 1 }), ['attached']);
    assert.deepEqual(scene.tell({ error: ERRNO.ECONNREFUSED, number: 1 }), ['gone']);
    assert.deepEqual(scene.tell({ error: 0, number: 2 }), ['attached']);
  });

  it('may take the place of another', () => {
    const scene = new Scene();
    assert.deepEqual(scene.tell({ error: 0, number: 1 }, { error: 0, number: 2 }), ['attached', 'gone', 'attached']);
    assert.deepEqual(scene.tell({ error: 0, number: 2 }), [], 'told of the same one again');
  });

  it('has gone when the kernel says so, and whoever is there then is looked for at once', () => {
    const scene = new Scene();
    scene.tell({ error: 0, number: 1 });
    assert.deepEqual(scene.send(-ERRNO.ECONNREFUSED), ['gone']);
    assert.equal(scene.looks, 1);
    assert.deepEqual(scene.tell({ error: ERRNO.ECONNREFUSED, number: 1 }), [], 'which is known');
    assert.deepEqual(scene.tell({ error: 0, number: 1 }), ['attached'], 'the same one after all');
  });

  it('that can not be reached is told of', () => {
    const scene = new Scene();
    assert.deepEqual(scene.tell({ error: ERRNO.EACCES, number: 0 }), ['EACCES']);
    assert.deepEqual(scene.tell(-ERRNO.EPIPE), ['the process that connects has ended (EPIPE)']);
    assert.ok(!scene.watched);
    scene.guest.close();
    assert.deepEqual(scene.heard.at(-1), 'end');
  });
});
