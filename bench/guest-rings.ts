/**
 * A guest of a vhost-user link that costs next to nothing: a pair of queues in shared memory, whose descriptors and entries are written once. Each descriptor is
 * a buffer of its own, as a driver for small frames would have them. To offer all of a queue again, which the link has used up, is to move one index.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { type VhostUserFeatures, VhostUserLink } from '#tapster/link/vhost-user.js';
import { VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import { mapSharedMemory, sharedMemoryCalls } from '#tapster/sys/shared-memory.js';
import type { Sys } from '#tapster/sys/sys.js';
import { DeviceQueue } from '#tapster/virtio/device-queue.js';
import { queueLayout } from '#tapster/virtio/driver-queue.js';
import { GuestMemory } from '#tapster/virtio/guest-memory.js';
import {
  AVAILABLE,
  AVAILABLE_NO_INTERRUPT,
  DESCRIPTOR,
  DESCRIPTOR_BYTES,
  DESCRIPTOR_FLAG,
  USED,
} from '#tapster/virtio/split-ring.js';

/** QEMU's default, and a frame of ours. */
const QUEUE_SIZE: number = FRAME_PACKETS_MAX;
const BUFFER_BYTES = 2048;
const LAYOUT = queueLayout(QUEUE_SIZE);
const QUEUE_BYTES: number = (LAYOUT.bytes + 4095) & ~4095;
const BUFFERS_AT: number = 2 * QUEUE_BYTES;
const MEMORY_BYTES: number = BUFFERS_AT + 2 * QUEUE_SIZE * BUFFER_BYTES;
/** Queues lie in the address space of the front end, buffers in the guest's. */
const USER_ADDRESS = 0x7f00_0000_0000;
const GUEST_ADDRESS = 0x1_0000_0000;
/** That of what is in memory by name only (tmpfs). */
const FOLDER = '/dev/shm/tapster-bench-';
const NO_DESCRIPTOR = -1;

const FEATURES: VhostUserFeatures = {
  offload: { checksum: false, tcpSegmentation: false, udpSegmentation: false },
  guestOffload: { checksum: false, tcpSegmentation: false, udpSegmentation: false },
  mergeable: true,
  headerBytes: VNET_HEADER_BYTES,
};

/** What the guest receives by, and what it transmits by. */
const RECEIVE = 0;
const TRANSMIT = 1;

export class GuestRings {
  readonly link: VhostUserLink;
  readonly #view: DataView;
  /** Entries that each queue was offered. */
  readonly #offered: Uint16Array = new Uint16Array(2);

  /** `frame`: what the guest sends, again and again, its virtio-net header in front. */
  constructor(sys: Sys, arenaMemory: number, frame: Uint8Array) {
    const { memory, view } = mapGuest();
    this.#view = view;
    this.link = new VhostUserLink(sys, {
      name: 'guest',
      fd: sys.pollCreate(),
      arenaMemory,
      copyPieces: sharedMemoryCalls.copyPieces,
      onBroken: (why) => {
        throw new Error(why);
      },
    });
    this.link.setFeatures(FEATURES);
    for (let i = 0; i < QUEUE_SIZE; i++) {
      this.#write(RECEIVE, i, BUFFER_BYTES, DESCRIPTOR_FLAG.WRITE);
      const at = this.#write(TRANSMIT, i, frame.length, 0);
      new Uint8Array(view.buffer).set(frame, at);
    }
    for (const ring of [RECEIVE, TRANSMIT]) {
      view.setUint16(availableAt(ring) + AVAILABLE.FLAGS, AVAILABLE_NO_INTERRUPT, true);
    }
    this.link.setToGuest({ queue: newQueue(memory, RECEIVE), callFd: NO_DESCRIPTOR, kickFd: NO_DESCRIPTOR });
    this.link.setFromGuest({ queue: newQueue(memory, TRANSMIT), callFd: NO_DESCRIPTOR, kickFd: NO_DESCRIPTOR });
  }

  /** The guest sends as many frames as the queue holds. */
  send(): void {
    this.#offer(TRANSMIT);
  }

  /** The guest has taken all frames that there are, and gives room for as many. */
  makeRoom(): void {
    this.#offer(RECEIVE);
  }

  #offer(ring: number): void {
    if (this.#view.getUint16(usedAt(ring) + USED.INDEX, true) !== this.#offered[ring]) {
      throw new Error('the link has not used all that it was offered');
    }
    this.#offered[ring]! += QUEUE_SIZE;
    this.#view.setUint16(availableAt(ring) + AVAILABLE.INDEX, this.#offered[ring]!, true);
  }

  /** Descriptor `i`, and the entry that offers it. Returns where its buffer is. */
  #write(ring: number, i: number, bytes: number, flags: number): number {
    const view = this.#view;
    const at = ring * QUEUE_BYTES + i * DESCRIPTOR_BYTES;
    const buffer = bufferAt(ring, i);
    view.setBigUint64(at + DESCRIPTOR.ADDRESS, BigInt(GUEST_ADDRESS + buffer), true);
    view.setUint32(at + DESCRIPTOR.LENGTH, bytes, true);
    view.setUint16(at + DESCRIPTOR.FLAGS, flags, true);
    view.setUint16(availableAt(ring) + AVAILABLE.RING + i * AVAILABLE.ENTRY_BYTES, i, true);
    return buffer;
  }
}

/** Our own view of it, and the link's. */
function mapGuest(): { readonly memory: GuestMemory; readonly view: DataView } {
  const folder = mkdtempSync(FOLDER);
  const fd = openSync(join(folder, 'memory'), 'w+');
  rmSync(folder, { recursive: true });
  ftruncateSync(fd, MEMORY_BYTES);
  const mapped = mapSharedMemory(fd, 0, MEMORY_BYTES);
  const memory = new GuestMemory(mapSharedMemory);
  const region = { guestAddress: GUEST_ADDRESS, userAddress: USER_ADDRESS, bytes: MEMORY_BYTES, offset: 0 };
  const added = memory.add(region, fd);
  closeSync(fd);
  if (!added.ok) throw new Error(added.failure.message);
  if (typeof mapped === 'number') throw new Error(`the guest's memory can't be mapped: errno ${-mapped}`);
  return { memory, view: mapped.windows[0]!.view };
}

function newQueue(memory: GuestMemory, ring: number): DeviceQueue {
  const at = USER_ADDRESS + ring * QUEUE_BYTES;
  const parts = { descriptors: at, available: at + LAYOUT.available, used: at + LAYOUT.used };
  return new DeviceQueue(memory, { ring: { size: QUEUE_SIZE, ...parts }, base: 0, eventIndex: false, indirect: false });
}

function availableAt(ring: number): number {
  return ring * QUEUE_BYTES + LAYOUT.available;
}

function usedAt(ring: number): number {
  return ring * QUEUE_BYTES + LAYOUT.used;
}

function bufferAt(ring: number, i: number): number {
  return BUFFERS_AT + (ring * QUEUE_SIZE + i) * BUFFER_BYTES;
}
