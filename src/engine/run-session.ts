/**
 * A `tapster run` session: a namespace with a tap, an engine on the tap, and one command inside; from the first step until nothing of it is left.
 *
 * Every step that fails takes back the steps before it (`Closers`). The command's end ends the session, but not at once: what the command sent and the host's
 * sockets have not taken yet is delivered first, as the kernel would do for a program that has exited.
 */
import { closeSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { errnoName } from '../sys/errno.ts';
import { configureGuest, type GuestNetwork, guestSysctls } from '../sys/guest-network.ts';
import { type CommandStatus, exitCode, identityInside, type NamespaceChild, startNamespace } from '../sys/namespace.ts';
import { openNetworkNamespace } from '../sys/namespace-path.ts';
import { RESOLV_CONF_PATH, type ResolvConf } from '../sys/resolv-conf.ts';
import type { Engine } from './engine.ts';
import { EventLoop } from './event-loop.ts';
import type { RunOptions } from './run-options.ts';
import { Session } from './session.ts';
import { waitUntilDelivered } from './session-delivery.ts';
import { checkSandbox, confine } from './session-end.ts';
import type { SessionForwards } from './session-forwards.ts';
import type { SessionHooks, SessionHost } from './session-host.ts';
import { dnsAddresses, guestResolvConf } from './session-network.ts';
import { SessionSignals } from './session-signals.ts';
import { configurationExtent, goWithoutTap, plugTap } from './session-tap.ts';

/** Runs the command and resolves with its exit status; a failure is ours, and then nothing has been left behind. */
export async function runSession(options: RunOptions, hooks: SessionHooks): Promise<Result<number>> {
  return await new CommandSession(options, hooks).runToEnd();
}

class CommandSession extends Session<RunOptions, SessionHooks> {
  protected override async run(): Promise<Result<number>> {
    const possible = checkSandbox(this.options.sandbox);
    if (!possible.ok) return possible;
    const begun = this.begin();
    if (!begun.ok) return begun;
    const { host, forwards } = begun.value;
    const prepared = this.hooks.prepared?.() ?? success(undefined);
    if (!prepared.ok) return prepared;
    const started = this.#startNamespace(host);
    if (!started.ok) return started;
    const child = started.value;
    const entered = forwards === undefined ? success(undefined) : enterChild(forwards, child);
    if (!entered.ok) return entered;
    const engine = this.#makeEngine(child, host);
    if (!engine.ok) return engine;
    const extent = configurationExtent(this.options);
    const configured = this.#hasTap ? configureGuest(child.netlinkFd, host.guest, extent) : success(undefined);
    if (!configured.ok) return configured;
    const added = host.addPublished(engine.value);
    if (!added.ok) return added;
    const forwarding = forwards?.open(engine.value, host) ?? success(undefined);
    if (!forwarding.ok) return forwarding;
    host.followResolvConf((resolvConf) => this.#updateResolvConf(child, host.guest, resolvConf));
    return this.#runCommand(child, engine.value);
  }

  #startNamespace({ network, guest: { interfaceName } }: SessionHost): Result<NamespaceChild> {
    const { root, configure } = this.options;
    const identity = identityInside(root);
    const started = startNamespace({
      rootInside: root,
      ...(this.#hasTap ? { tap: { name: interfaceName } } : {}),
      files: network.files,
      sysctls: guestSysctls(interfaceName, identity.userNamespace ? identity.gid : undefined, !configure),
    });
    if (!started.ok) return started;
    this.closers.add(() => {
      const ended = started.value.end();
      if (!ended.ok) this.hooks.log('warning', ended.failure.message);
    });
    for (const warning of started.value.warnings) this.hooks.log('debug', warning);
    return started;
  }

  get #hasTap(): boolean {
    return this.options.details?.spliceOnly !== true;
  }

  /** The engine has the tap's descriptor from here on. */
  #makeEngine(child: NamespaceChild, host: SessionHost): Result<Engine> {
    const engine = host.makeEngine();
    const plugged = this.#hasTap
      ? plugTap(host, engine, child, this.options.command.join(' '))
      : goWithoutTap(engine, this.closers);
    return plugged.ok ? success(engine) : plugged;
  }

  /** A resolv.conf inside says what the host's says now. */
  #updateResolvConf(child: NamespaceChild, guest: GuestNetwork, resolvConf: ResolvConf): void {
    const content = guestResolvConf(this.options, dnsAddresses(this.options, guest), resolvConf);
    const updated = content === undefined ? success(undefined) : child.updateFile(RESOLV_CONF_PATH, content);
    if (!updated.ok) this.hooks.log('warning', updated.failure.message);
  }

  async #runCommand(child: NamespaceChild, engine: Engine): Promise<Result<number>> {
    const command = this.options.command.length > 0 ? this.options.command : [process.env['SHELL'] || '/bin/sh'];
    const signals = new SessionSignals(this.sys, child);
    this.closers.add(() => signals.close());
    let fail: (error: unknown) => void = () => {};
    const broken = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    engine.onLinkLost = (_interface, errno) => {
      this.hooks.log('warning', `the interface inside has gone: ${errnoName(errno)}`);
    };
    const ran = child.run(command, process.env, process.cwd());
    if (!ran.ok) return ran;
    // While the command is loaded; and not one packet has been looked at before.
    const confined = confine(this.options.sandbox, child.pid, this.hooks);
    if (!confined.ok) return confined;
    this.hooks.ready?.(engine);
    const loop = new EventLoop(this.sys, engine, fail);
    this.closers.add(() => loop.stop());
    const status = await Promise.race([signals.commandEnded(), broken]);
    if (status.kind === 'exec-failed') return execFailure(command[0]!, status);
    // What the command sent last may still be in its interface: a datagram has no other end that asks for it again.
    // Nor may our answer to who asks for its neighbour be the end: what waited for it comes in the turn behind.
    for (let turns = 0; turns < LAST_TURNS_MAX && (engine.turn() || !engine.idle); turns++);
    await Promise.race([waitUntilDelivered(engine.tcp, signals.interrupted(), this.hooks), broken]);
    return success(exitCode(status));
  }
}

/** An interface holds `GUEST_TX_QUEUE_LENGTH` packets; one whose users have not ended with the command may never be empty. */
const LAST_TURNS_MAX = 256;

function enterChild(forwards: SessionForwards, { pid }: NamespaceChild): Result<void> {
  const namespace = openNetworkNamespace(`pid:${pid}`);
  if (!namespace.ok) return namespace;
  const entered = forwards.enter(namespace.value.fd);
  closeSync(namespace.value.fd);
  return entered;
}

function execFailure(program: string, status: CommandStatus & { kind: 'exec-failed' }): Result<never> {
  const reason = errnoName(status.errno);
  if (status.what === 'directory') {
    return failure('directory-missing', `the current directory can't be entered in the namespace: ${reason}`);
  }
  if (exitCode(status) === 127)
    return failure('command-not-found', `"${program}" was not found: check its spelling and PATH`);
  return failure('command-not-executable', `"${program}" can't be executed: ${reason}`);
}
