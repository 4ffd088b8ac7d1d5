/** A ring, as the model of a virtqueue (`virtqueue-rig.ts`) knows it. */
import { sharedMemoryCalls } from '#tapster/sys/shared-memory.js';
import type { DeviceQueue } from '#tapster/virtio/device-queue.js';
import type { Extent } from './virtqueue-memory.ts';

export interface Placement {
  /** User addresses. */
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export class Ring {
  readonly index: number;
  readonly kickFd: number = sharedMemoryCalls.eventCreate();
  readonly callFd: number = sharedMemoryCalls.eventCreate();
  queue: DeviceQueue | undefined;
  placement: Placement = { descriptors: 0, available: 0, used: 0 };
  /** Where its parts lie in the file; undefined: not all of them in a region. */
  parts: { readonly descriptors: Extent; readonly available: Extent; readonly used: Extent } | undefined;
  /** The driver has shown chains since the device last looked. */
  hasNews: boolean = false;
  /** What comes of it can be told. */
  isCertain: boolean = true;
  /** It has come to a chain that can't be. */
  isBroken: boolean = false;
  /** Entries of the available ring that were taken, and of the used ring that are written; -1: it had no place yet. */
  taken: number = 0;
  used: number = -1;
  /** The guest is to hear of what was used. */
  isCallDue: boolean = false;

  constructor(index: number) {
    this.index = index;
  }
}
