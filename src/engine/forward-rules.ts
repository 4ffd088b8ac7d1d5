/** What is forwarded between the host and a namespace, as a value. Command lines are read to it, and `forwards.ts` makes it so. */
import type { IpAddress } from '../base/address.ts';
import type { PortRange } from '../base/port-set.ts';

/** Where ports are bound. */
export interface ForwardBinding {
  /** Undefined: all addresses of both families; 0.0.0.0 and `::` are all of one. */
  readonly address: IpAddress | undefined;
  readonly interfaceName: string | undefined;
}

export interface ForwardRule extends ForwardBinding {
  readonly firstPort: number;
  readonly lastPort: number;
  /** Undefined: whoever is on the other side. */
  readonly toAddress: IpAddress | undefined;
  /** Where `firstPort` leads; the others follow it. */
  readonly toPort: number;
  /** From `all`: a port that can't be bound is passed over, and so are ephemeral ones. */
  readonly weak: boolean;
}

/** Ports that follow those which are bound on the other side, except for some. */
export interface AutoForward extends ForwardBinding {
  readonly excluded: readonly PortRange[];
}

/** Both lists empty: `none`. No two rules have a port at the same place. */
export interface ForwardSpec {
  readonly rules: readonly ForwardRule[];
  readonly auto: readonly AutoForward[];
}

/** All forwards of a session: to the namespace or the machine, and from the namespace to the host. */
export interface ForwardOptions {
  readonly tcpIn: ForwardSpec;
  readonly udpIn: ForwardSpec;
  /** Nobody asked for `udpIn` itself: what of it can't be had is left out. */
  readonly udpFollows: boolean;
  readonly tcpOut: ForwardSpec;
  readonly udpOut: ForwardSpec;
  /** False: callers from the host's loopback come by the interface too. */
  readonly splice: boolean;
  /** Those who are spliced reach the namespace's loopback; else the guest's own address. */
  readonly hostLoopbackToNamespaceLoopback: boolean;
  /** Ports of addresses that the host does not have (yet). */
  readonly freebind: boolean;
}

export const NO_FORWARDS: ForwardSpec = { rules: [], auto: [] };
export const AUTO_FORWARDS: ForwardSpec = {
  rules: [],
  auto: [{ address: undefined, interfaceName: undefined, excluded: [] }],
};
