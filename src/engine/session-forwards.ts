/**
 * The forwards of a session from its options: the processes that make their sockets, which are to be started early (`sys/socket-server.ts`), then what is named, then
 * what follows the ports of the other side.
 */
import { readFileSync } from 'node:fs';
import { isIpv4 } from '../base/address.ts';
import type { PortRange } from '../base/port-set.ts';
import { type Result, success } from '../base/result.ts';
import { BoundPorts } from '../sys/bound-ports.ts';
import { type SocketServer, startSocketServer } from '../sys/socket-server.ts';
import type { Closers } from './closers.ts';
import type { Engine } from './engine.ts';
import { type FollowedForward, ForwardAuto } from './forward-auto.ts';
import type { ForwardDirection, ForwardProtocol } from './forward-places.ts';
import { LOOPBACK } from './forward-routes.ts';
import type { ForwardOptions, ForwardSpec } from './forward-rules.ts';
import type { SocketSides } from './forward-sockets.ts';
import { Forwards } from './forwards.ts';
import { GUEST_INTERFACE, type SessionHooks, type SessionHost } from './session-host.ts';

const EPHEMERAL_PATH = '/proc/sys/net/ipv4/ip_local_port_range';

/** Steps come in the order of the methods; what is made is closed by `closers`. */
export class SessionForwards {
  readonly #options: ForwardOptions;
  readonly #hooks: SessionHooks;
  readonly #closers: Closers;
  #sides: SocketSides;

  private constructor(options: ForwardOptions, hooks: SessionHooks, closers: Closers, host: SocketServer) {
    this.#options = options;
    this.#hooks = hooks;
    this.#closers = closers;
    this.#sides = { host, namespace: undefined };
  }

  /** Starts the process that opens ports of the host, with the rights that we have now. Undefined: nothing is to be forwarded. */
  static begin(
    options: ForwardOptions | undefined,
    hooks: SessionHooks,
    closers: Closers,
  ): Result<SessionForwards | undefined> {
    if (options === undefined) return success(undefined);
    const host = startSocketServer();
    if (!host.ok) return host;
    closers.add(() => host.value.close());
    return success(new SessionForwards(options, hooks, closers, host.value));
  }

  /** Starts the one that opens sockets of the namespace, whose descriptor the caller closes. Without, nothing is spliced. */
  enter(namespaceFd: number): Result<void> {
    if (!this.#options.splice) return success(undefined);
    const namespace = startSocketServer(namespaceFd);
    if (!namespace.ok) return namespace;
    this.#closers.add(() => namespace.value.close());
    this.#sides = { ...this.#sides, namespace: namespace.value };
    return success(undefined);
  }

  /** Opens all that is named, or nothing; callers are accepted from the engine's next turn on. Closed before the engine is. */
  open(engine: Engine, host: SessionHost): Result<void> {
    const { freebind, hostLoopbackToNamespaceLoopback } = this.#options;
    const { guest, wiring } = host;
    const spliceOnly = host.options.details?.spliceOnly === true;
    const own = {
      ipv4: guest.ipv4Gateway && guest.addresses.find((each) => isIpv4(each.address))?.address,
      ipv6: guest.ipv6Gateway && guest.addresses.find((each) => !isIpv4(each.address))?.address,
    };
    const forwards = new Forwards(engine, {
      sides: this.#sides,
      families: host.options.families,
      interfaceIndex: GUEST_INTERFACE,
      guest: spliceOnly ? undefined : own,
      inside: spliceOnly || hostLoopbackToNamespaceLoopback ? LOOPBACK : own,
      freebind,
      ephemeral: ephemeralPorts(),
      sinks: this.#hooks.flowSinks,
      reached: ({ w0, w1, w2, w3 }) => wiring.neighbours.expect(GUEST_INTERFACE, w0, w1, w2, w3),
    });
    this.#closers.add(() => forwards.close());
    const added = this.#addAll(forwards);
    if (!added.ok) return added;
    const following = added.value.length === 0 ? success(undefined) : this.#follow(engine, forwards, added.value);
    if (!following.ok) return following;
    const auto = following.value;
    engine.onSecond = () => {
      forwards.housekeep();
      auto?.scan();
    };
    const told = this.#hooks.forwarding?.(forwards) ?? success(undefined);
    if (!told.ok) return told;
    this.#closers.add(() => told.value?.close());
    return success(undefined);
  }

  /** All that is named. Returns what follows others. */
  #addAll(forwards: Forwards): Result<FollowedForward[]> {
    const { tcpIn, udpIn, tcpOut, udpOut, udpFollows } = this.#options;
    const kinds: readonly (readonly [ForwardDirection, ForwardProtocol, ForwardSpec])[] = [
      ['in', 'tcp', tcpIn],
      ['in', 'udp', udpIn],
      ['out', 'tcp', tcpOut],
      ['out', 'udp', udpOut],
    ];
    const followed: FollowedForward[] = [];
    for (const [direction, protocol, spec] of kinds) {
      for (const rule of spec.rules) {
        const added = forwards.add({ direction, protocol, rule });
        if (added.ok) continue;
        if (!udpFollows || protocol !== 'udp' || direction !== 'in') return added;
        this.#hooks.log('warning', `UDP does not follow TCP: ${added.failure.message}`);
      }
      for (const auto of spec.auto) followed.push({ direction, protocol, auto });
    }
    return success(followed);
  }

  #follow(engine: Engine, forwards: Forwards, followed: readonly FollowedForward[]): Result<ForwardAuto | undefined> {
    const { host, namespace } = this.#sides;
    // Nobody else's ports can be seen.
    if (namespace === undefined) return success(undefined);
    const ofHost = BoundPorts.open(host.makeDiagnostic());
    if (!ofHost.ok) return ofHost;
    this.#closers.add(() => ofHost.value.close());
    const ofNamespace = BoundPorts.open(namespace.makeDiagnostic());
    if (!ofNamespace.ok) return ofNamespace;
    this.#closers.add(() => ofNamespace.value.close());
    const bound = { host: ofHost.value, namespace: ofNamespace.value };
    const auto = new ForwardAuto(forwards, bound, followed, engine.sys.nowUs);
    auto.scan();
    return success(auto);
  }
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
