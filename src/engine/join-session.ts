/**
 * A session in a network namespace that exists already, by its path or by a process: a tap in there, and an engine on the tap, until the namespace ends, the tap is
 * deleted, or somebody ends us. Nothing else of the namespace is touched but `lo`, which comes up, and its congestion control (`sys/guest-network.ts` says why).
 *
 * Everything that takes rights over the namespace is done before `prepared` is told.
 */
import { closeSync } from 'node:fs';
import { type Result, success } from '../base/result.ts';
import { errnoName } from '../sys/errno.ts';
import { configureGuest, joinedSysctls, raiseLoopback } from '../sys/guest-network.ts';
import { closeHostTap, type HostTap, openHostTap, type TapOptions } from '../sys/host-tap.ts';
import { watchNamespaceEnd } from '../sys/namespace-end.ts';
import {
  type NetworkNamespace,
  openInside,
  openNetworkNamespace,
  openUserNamespace,
  writeSysctlsInside,
} from '../sys/namespace-path.ts';
import { findLink } from '../sys/netlink/link.ts';
import type { Engine } from './engine.ts';
import type { RunOptions } from './run-options.ts';
import { Session } from './session.ts';
import { checkSandbox, confine, SessionEnd } from './session-end.ts';
import type { SessionHooks, SessionHost } from './session-host.ts';
import { configurationExtent, type GuestTap, goWithoutTap, plugTap } from './session-tap.ts';

/** `command` and `root` count for nothing. */
export interface JoinOptions extends RunOptions {
  /** NAME, /PATH or pid:N, as `openNetworkNamespace` takes them. */
  readonly networkNamespace: string;
  /** A user namespace to join on the way there; undefined: the one that owns the network namespace, where that is needed. */
  readonly userNamespacePath: string | undefined;
  /** End when the process has ended, or the path is gone. */
  readonly endsWithNamespace: boolean;
  /** End, with status 0, when something happens at this descriptor, its end included. */
  readonly endDescriptor?: number;
}

/** Serves the namespace until it is ended, and resolves with the exit status; a failure is ours, and then nothing has been left behind. */
export async function joinSession(options: JoinOptions, hooks: SessionHooks): Promise<Result<number>> {
  return await new JoinSession(options, hooks).runToEnd();
}

class JoinSession extends Session<JoinOptions, SessionHooks> {
  /** Descriptors of namespaces, for as long as something is to be made in there. */
  readonly #namespaces: number[] = [];
  readonly #end: SessionEnd = new SessionEnd();

  protected override async run(): Promise<Result<number>> {
    const { sandbox } = this.options;
    const possible = checkSandbox(sandbox);
    if (!possible.ok) return possible;
    const joined = openNetworkNamespace(this.options.networkNamespace);
    if (!joined.ok) return joined;
    const namespace = joined.value;
    this.#namespaces.push(namespace.fd);
    this.closers.add(() => this.#releaseNamespaces());
    const begun = this.begin();
    if (!begun.ok) return begun;
    const { host, forwards } = begun.value;
    const entered = forwards?.enter(namespace.fd) ?? success(undefined);
    if (!entered.ok) return entered;
    const tap = this.#makeTap(namespace, host);
    if (!tap.ok) return tap;
    const engine = host.makeEngine();
    const plugged =
      tap.value === undefined ? goWithoutTap(engine, this.closers) : plugTap(host, engine, tap.value, namespace.text);
    if (!plugged.ok) return plugged;
    const added = host.addPublished(engine);
    if (!added.ok) return added;
    const forwarding = forwards?.open(engine, host) ?? success(undefined);
    if (!forwarding.ok) return forwarding;
    const watched = this.#watch(namespace, engine);
    if (!watched.ok) return watched;
    host.followResolvConf(() => {});
    this.#end.followSignals(this.closers);
    this.#releaseNamespaces();
    const prepared = this.hooks.prepared?.() ?? success(undefined);
    if (!prepared.ok) return prepared;
    const confined = confine(sandbox, process.pid, this.hooks);
    if (!confined.ok) return confined;
    this.#followDescriptor();
    this.hooks.ready?.(engine);
    return success(await this.#end.serve(this.sys, engine, this.closers));
  }

  /**
   * Makes the interface inside, if there is to be one, and sets it up as far as was asked for. A tap that somebody has made before, and gave nobody yet, is taken; one that we are
   * not to configure is left as it is. The caller closes the descriptor.
   */
  #makeTap(namespace: NetworkNamespace, { guest }: SessionHost): Result<GuestTap | undefined> {
    const user = this.#openUserNamespace();
    if (!user.ok) return user;
    const userNamespaceFd = user.value;
    if (this.options.details?.spliceOnly === true) return raiseLoopbackInside(namespace.fd, userNamespaceFd);
    const name = guest.interfaceName;
    const opened = openTap({ name, namespaceFd: namespace.fd, userNamespaceFd });
    if (!opened.ok) return opened;
    const { netlink, fds, hasVnetHeader, attached } = opened.value;
    const { configure } = this.options;
    for (const refused of writeSysctlsInside(namespace.fd, joinedSysctls(name, configure), userNamespaceFd)) {
      this.hooks.log('debug', refused);
    }
    const configured =
      attached && !configure
        ? raiseLoopback(netlink.fd)
        : configureGuest(netlink.fd, guest, configurationExtent(this.options));
    const link = configured.ok ? findLink(netlink, name) : configured;
    if (!link.ok) {
      closeHostTap(opened.value);
      return link;
    }
    netlink.close();
    return success({ tapFd: fds[0]!, hasVnetHeader, mac: link.value.mac });
  }

  #openUserNamespace(): Result<number | undefined> {
    const path = this.options.userNamespacePath;
    if (path === undefined) return success(undefined);
    const opened = openUserNamespace(path);
    if (opened.ok) this.#namespaces.push(opened.value);
    return opened;
  }

  /** Who keeps a namespace open keeps the path busy at which it is mounted. */
  #releaseNamespaces(): void {
    for (const fd of this.#namespaces.splice(0)) closeSync(fd);
  }

  #watch(namespace: NetworkNamespace, engine: Engine): Result<void> {
    engine.onLinkLost = (_interface, errno) => {
      this.hooks.log('info', `the interface inside has gone: ${errnoName(errno)}`);
      this.#end.end(0);
    };
    if (!this.options.endsWithNamespace) return success(undefined);
    const watch = watchNamespaceEnd(this.sys, namespace, () => {
      this.hooks.log('info', `${namespace.path} has gone`);
      this.#end.end(0);
    });
    if (!watch.ok) return watch;
    this.closers.add(() => watch.value.close());
    return success(undefined);
  }

  #followDescriptor(): void {
    const { endDescriptor } = this.options;
    if (endDescriptor === undefined) return;
    const watch = this.sys.watchReadable(endDescriptor, () => this.#end.end(0));
    if (watch > 0) this.closers.add(() => this.sys.unwatch(watch));
    else this.hooks.log('warning', `descriptor ${endDescriptor} tells of nothing: ${errnoName(watch)}`);
  }
}

/** Those who call us may have made the tap before, and left it to us. */
function openTap(options: TapOptions): Result<HostTap> {
  const made = openHostTap(options);
  return made.ok || made.failure.code !== 'tap-exists' ? made : openHostTap({ ...options, attach: true });
}

function raiseLoopbackInside(namespaceFd: number, userNamespaceFd: number | undefined): Result<undefined> {
  const inside = openInside(namespaceFd, 0, userNamespaceFd);
  if (!inside.ok) return inside;
  const raised = raiseLoopback(inside.value.netlinkFd);
  closeSync(inside.value.netlinkFd);
  return raised.ok ? success(undefined) : raised;
}
