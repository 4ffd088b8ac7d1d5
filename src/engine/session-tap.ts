/** The tap of a session's guest, wherever it was made: its way into the engine, and how much of its network we set up. */
import type { MacAddress } from '../base/address.ts';
import { type Result, success } from '../base/result.ts';
import { TapLink } from '../link/tap.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { negotiateOffloads, TUN_F } from '../sys/tun.ts';
import type { Closers } from './closers.ts';
import type { Engine } from './engine.ts';
import type { RunOptions } from './run-options.ts';
import { GUEST_INTERFACE, type SessionHost } from './session-host.ts';

export interface GuestTap {
  readonly tapFd: number;
  readonly hasVnetHeader: boolean;
  /** Undefined: as was planned. */
  readonly mac?: MacAddress | undefined;
}

/** The engine has the tap's descriptor from here on, and is the session's to close; after a failure both are closed. */
export function plugTap(host: SessionHost, engine: Engine, tap: GuestTap, comment: string): Result<void> {
  const { guest, wiring } = host;
  const { tapFd: fd, hasVnetHeader } = tap;
  const device = new TapLink(engine.sys, {
    name: hasVnetHeader ? guest.interfaceName : `${guest.interfaceName} (no offload)`,
    fd,
    hasVnetHeader,
    offload: hasVnetHeader ? agreeOnOffload(fd) : NO_OFFLOAD,
    arenaMemory: engine.arenaMemory,
  });
  const link = host.addLink(engine, device, comment);
  if (!link.ok) return link;
  engine.addQueue(GUEST_INTERFACE, link.value, fd);
  const { high, low } = tap.mac ?? guest.mac;
  const addresses = guest.addresses.map((each) => each.address);
  if (guest.linkLocal !== undefined) addresses.push(guest.linkLocal);
  for (const { w0, w1, w2, w3 } of addresses) {
    wiring.neighbours.learn(GUEST_INTERFACE, w0, w1, w2, w3, high, low);
  }
  return success(undefined);
}

/** Without an interface the engine has nothing to do but what forwards give it; it is the session's to close from here on. */
export function goWithoutTap(engine: Engine, closers: Closers): Result<void> {
  closers.add(() => engine.close());
  return success(undefined);
}

/** Programs that we stand in for leave an interface down that is not theirs to configure. */
export function configurationExtent({ configure, details }: RunOptions): 'all' | 'link' | 'down' {
  if (configure) return 'all';
  return details === undefined ? 'link' : 'down';
}

/** What the tap's two ends leave undone for each other. Towards the guest the kernel takes everything; UDP merged only where it can also cut it. */
function agreeOnOffload(tapFd: number): LinkOffload {
  const agreed = negotiateOffloads(tapFd);
  const flags = Math.max(0, agreed);
  return {
    checksum: true,
    tcpSegmentation: true,
    udpSegmentation: (flags & TUN_F.USO4) !== 0,
  };
}
