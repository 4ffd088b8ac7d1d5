/**
 * The forwards of a session from its options: the processes that make their sockets, which are to be started early (`sys/socket-server.ts`), then what is named, then
 * what follows the ports of the other side.
 */
import { readFileSync } from 'node:fs';
import type { PortRange } from '../base/port-set.ts';
import { type Result, success } from '../base/result.ts';
import { BoundPorts } from '../sys/bound-ports.ts';
import { startSocketServer } from '../sys/socket-server.ts';
import type { Closers } from './closers.ts';
import type { Engine } from './engine.ts';
import { type FollowedForward, ForwardAuto } from './forward-auto.ts';
import type { ForwardDirection, ForwardProtocol } from './forward-places.ts';
import type { ForwardSpec } from './forward-rules.ts';
import type { SocketSides } from './forward-sockets.ts';
import { Forwards, type ForwardsOptions } from './forwards.ts';

/** To the namespace or the machine, and from the namespace to the host. */
export interface ForwardSpecs {
  readonly tcpIn: ForwardSpec;
  readonly udpIn: ForwardSpec;
  readonly tcpOut: ForwardSpec;
  readonly udpOut: ForwardSpec;
}

const EPHEMERAL_PATH = '/proc/sys/net/ipv4/ip_local_port_range';

/** `namespaceFd`: of the namespace whose loopback is reached by splice, which the caller closes; undefined: there is none. */
export function startSocketSides(namespaceFd: number | undefined, closers: Closers): Result<SocketSides> {
  const host = startSocketServer();
  if (!host.ok) return host;
  closers.add(() => host.value.close());
  if (namespaceFd === undefined) return success({ host: host.value, namespace: undefined });
  const namespace = startSocketServer(namespaceFd);
  if (!namespace.ok) return namespace;
  closers.add(() => namespace.value.close());
  return success({ host: host.value, namespace: namespace.value });
}

/** Opens all that is named, or nothing; callers are accepted from the engine's next turn on. Closed before the engine is. */
export function openForwards(
  engine: Engine,
  specs: ForwardSpecs,
  options: Omit<ForwardsOptions, 'ephemeral'>,
  closers: Closers,
): Result<Forwards> {
  const forwards = new Forwards(engine, { ...options, ephemeral: ephemeralPorts() });
  closers.add(() => forwards.close());
  const kinds: readonly (readonly [ForwardDirection, ForwardProtocol, ForwardSpec])[] = [
    ['in', 'tcp', specs.tcpIn],
    ['in', 'udp', specs.udpIn],
    ['out', 'tcp', specs.tcpOut],
    ['out', 'udp', specs.udpOut],
  ];
  const followed: FollowedForward[] = [];
  for (const [direction, protocol, spec] of kinds) {
    for (const rule of spec.rules) {
      const added = forwards.add({ direction, protocol, rule });
      if (!added.ok) return added;
    }
    for (const auto of spec.auto) followed.push({ direction, protocol, auto });
  }
  const following = followed.length === 0 ? success(undefined) : startAuto(engine, forwards, options.sides, followed);
  if (!following.ok) return following;
  const auto = following.value;
  if (auto !== undefined) closers.add(() => auto.close());
  engine.onSecond = () => {
    forwards.housekeep();
    auto?.scan();
  };
  return success(forwards);
}

function startAuto(
  engine: Engine,
  forwards: Forwards,
  { host, namespace }: SocketSides,
  followed: readonly FollowedForward[],
): Result<ForwardAuto | undefined> {
  // Nobody else's ports can be seen.
  if (namespace === undefined) return success(undefined);
  const ofHost = BoundPorts.open(host.makeDiagnostic());
  if (!ofHost.ok) return ofHost;
  const ofNamespace = BoundPorts.open(namespace.makeDiagnostic());
  if (!ofNamespace.ok) {
    ofHost.value.close();
    return ofNamespace;
  }
  const bound = { host: ofHost.value, namespace: ofNamespace.value };
  const auto = new ForwardAuto(forwards, bound, followed, engine.sys.nowUs);
  auto.scan();
  return success(auto);
}

/** Ports that the host gives to who asks for any. */
function ephemeralPorts(): PortRange | undefined {
  try {
    const [first = 0, last = 0] = readFileSync(EPHEMERAL_PATH, 'latin1').trim().split(/\s+/).map(Number);
    return first > 0 && last >= first ? { first, last } : undefined;
  } catch {
    return undefined;
  }
}
