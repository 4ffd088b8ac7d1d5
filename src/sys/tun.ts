/** TUN/TAP devices beyond reading and writing frames: opening, naming, and agreeing on offloads (linux/if_tun.h). */
import { loadNative } from './native.ts';

/** Flags of TUNSETIFF; `tunFeatures` says which ones this kernel knows. */
export const IFF = {
  TUN: 0x0001,
  TAP: 0x0002,
  MULTI_QUEUE: 0x0100,
  NO_PI: 0x1000,
  VNET_HDR: 0x4000,
  /** IFF_TUN_EXCL: fails where the interface is there already. */
  EXCLUSIVE: 0x8000,
} as const;

/** Flags of TUNSETOFFLOAD: unfinished frames that we can take from the kernel. */
export const TUN_F = { CSUM: 0x01, TSO4: 0x02, TSO6: 0x04, TSO_ECN: 0x08, USO4: 0x20, USO6: 0x40 } as const;

interface TunFunctions {
  tunOpen(name: string, flags: number): number;
  tunOpenDevice(): number;
  tunSetInterface(fd: number, name: string, flags: number): number;
  tunSetPersist(fd: number, persist: number): number;
  tunSetOwner(fd: number, uid: number): number;
  tunSetGroup(fd: number, gid: number): number;
  tunSetCarrier(fd: number, carrier: number): number;
  tunSetSendBuffer(fd: number, bytes: number): number;
  tunInterfaceName(fd: number): string | number;
  tunNamespace(fd: number): number;
  tunFeatures(fd: number): number;
  tunSetOffload(fd: number, flags: number): number;
  tunSetVnetHeaderSize(fd: number, bytes: number): number;
}

const native: TunFunctions = loadNative<TunFunctions>();

/**
 * Opens /dev/net/tun and makes or attaches to the interface `name` in our own network namespace ('' or a %d: the kernel
 * chooses): the descriptor, non-blocking and close-on-exec, or -errno. With `IFF.VNET_HDR` each frame has the 12-byte little-endian
 * header of virtio 1.2, section 5.1.6, in front.
 */
export const tunOpen: (name: string, flags: number) => number = native.tunOpen;

/** /dev/net/tun without an interface, which will be in our own network namespace: the descriptor, or -errno. */
export const tunOpenDevice: () => number = native.tunOpenDevice;

/** Makes the interface `name`, or attaches to it, as `tunOpen` does: 0 or -errno. */
export const tunSetInterface: (fd: number, name: string, flags: number) => number = native.tunSetInterface;

/** Whether the interface stays when its last descriptor is closed: 0 or -errno. */
export const tunSetPersist: (fd: number, persist: number) => number = native.tunSetPersist;

/** The user who may attach to the interface without privilege: 0 or -errno. */
export const tunSetOwner: (fd: number, uid: number) => number = native.tunSetOwner;

export const tunSetGroup: (fd: number, gid: number) => number = native.tunSetGroup;

/** Whether the interface sees a cable: 0 or -errno; -EINVAL before Linux 5.0. */
export const tunSetCarrier: (fd: number, carrier: number) => number = native.tunSetCarrier;

/** Bytes of ours that may wait inside the kernel: 0 or -errno. */
export const tunSetSendBuffer: (fd: number, bytes: number) => number = native.tunSetSendBuffer;

/** The interface's name, or -errno. */
export const tunInterfaceName: (fd: number) => string | number = native.tunInterfaceName;

/** A descriptor, which the caller closes, of the network namespace that the interface is in now, wherever it was made; or -errno. */
export const tunNamespace: (fd: number) => number = native.tunNamespace;

/** The `IFF` flags that the kernel knows, or -errno. */
export const tunFeatures: (fd: number) => number = native.tunFeatures;

/** Tells the kernel which unfinished frames we take (`TUN_F`): 0 or -errno; -EINVAL for any flag that it does not know. */
export const tunSetOffload: (fd: number, flags: number) => number = native.tunSetOffload;

export const tunSetVnetHeaderSize: (fd: number, bytes: number) => number = native.tunSetVnetHeaderSize;

const CHECKSUM: number = TUN_F.CSUM;
const SEGMENTATION: number = CHECKSUM | TUN_F.TSO4 | TUN_F.TSO6 | TUN_F.TSO_ECN;

/** Sets of offloads from best to none. UDP segmentation needs Linux 6.2, and both families at once. */
const OFFLOAD_SETS: readonly number[] = [SEGMENTATION | TUN_F.USO4 | TUN_F.USO6, SEGMENTATION, CHECKSUM, 0];

/**
 * Sets the best offloads that the kernel accepts and returns them (0: none), or -errno when it accepts not even none. The device
 * must be open with `IFF.VNET_HDR`. `allowed` narrows what is tried.
 */
export function negotiateOffloads(fd: number, allowed: number = ~0): number {
  let result = 0;
  for (const set of OFFLOAD_SETS) {
    result = tunSetOffload(fd, set & allowed);
    if (result === 0) return set & allowed;
  }
  return result;
}
