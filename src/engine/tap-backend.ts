/**
 * How the frames of a tap are moved: through virtqueues that the kernel serves (vhost-net), or by read(2) and write(2). One link for each of the tap's descriptors.
 *
 * `auto` is vhost-net where /dev/vhost-net can be opened. Where something behind that fails (a container that lets us open it and no more), `auto` reads and writes, and says why;
 * whoever asked for vhost-net is told, and has nothing.
 */
import { type Failure, failure, type Result, success } from '../base/result.ts';
import { TapLink } from '../link/tap.ts';
import { VhostNetLink, vhostNetLayout } from '../link/vhost-net.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { LinuxSys } from '../sys/linux.ts';
import type { Sys } from '../sys/sys.ts';
import { openVhostNet, vhostDescriptors, vhostNetAvailable } from '../sys/vhost-net.ts';

export type TapBackend = 'read-write' | 'vhost-net';

export interface TapLinkOptions {
  readonly name: string;
  /** The descriptor of one queue of the tap. The link closes it. */
  readonly tapFd: number;
  readonly hasVnetHeader: boolean;
  readonly offload: LinkOffload;
  readonly backend: 'auto' | TapBackend;
  /** Entries of the virtqueues. */
  readonly ringSizes: { readonly rx: number; readonly tx: number };
  /** The id under which the arena is registered. */
  readonly arenaMemory: number;
  /** Bytes left free in front of each received frame and its virtio-net header. */
  readonly headroom?: number;
}

/** What carries the frames of one queue. */
export type TapQueueLink = TapLink | VhostNetLink;

export interface OpenedTapLink {
  readonly link: TapQueueLink;
  readonly backend: TapBackend;
  /** Why `auto` did not take vhost-net, although it can be opened. */
  readonly refused?: Failure;
}

/** A link on a queue of a tap; `link.fd` is to be polled for reading. After a failure the tap's descriptor is still open, and nothing else. */
export function openTapLink(sys: Sys, options: TapLinkOptions): Result<OpenedTapLink> {
  const { backend } = options;
  if (backend === 'read-write' || (backend === 'auto' && !canVhost(sys, options))) {
    return success({ link: readWriteLink(sys, options), backend: 'read-write' });
  }
  const link = vhostNetLink(sys, options);
  if (link.ok) return success({ link: link.value, backend: 'vhost-net' });
  if (backend === 'vhost-net') return link;
  return success({ link: readWriteLink(sys, options), backend: 'read-write', refused: link.failure });
}

/** Rings lie in memory that the kernel must know: a simulated system's it does not. */
function canVhost(sys: Sys, { hasVnetHeader }: TapLinkOptions): boolean {
  return hasVnetHeader && sys instanceof LinuxSys && vhostNetAvailable();
}

function readWriteLink(sys: Sys, options: TapLinkOptions): TapLink {
  return new TapLink(sys, { ...options, fd: options.tapFd });
}

function vhostNetLink(sys: Sys, options: TapLinkOptions): Result<VhostNetLink> {
  const { name, offload, tapFd, ringSizes, headroom = 0 } = options;
  if (!options.hasVnetHeader) {
    return failure(
      'vhost-net-header-missing',
      `${name} has no virtio-net headers, which vhost-net needs: open it with them, or take the backend read-write`,
    );
  }
  const layout = vhostNetLayout(ringSizes.rx, ringSizes.tx);
  const memory = new Uint8Array(layout.bytes);
  const memoryId = sys.register(memory);
  const { receive, transmit } = layout;
  const device = openVhostNet({ tapFd, memory: memoryId, memoryBytes: layout.bytes, receive, transmit });
  if (!device.ok) {
    sys.unregister(memoryId);
    return device;
  }
  const descriptors = [...vhostDescriptors(device.value), tapFd];
  const events = device.value;
  return success(new VhostNetLink(sys, { name, offload, layout, memory, memoryId, events, descriptors, headroom }));
}
