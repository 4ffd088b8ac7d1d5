/**
 * What `tapster up` does: makes a network as a file says, serves its API until somebody ends it, and undoes everything.
 *
 * The socket is there when all is made, so whoever waits for it finds the whole. With `--detach` a second process does all this in a session of its own
 * (setsid(2)); the first one waits until it is ready, or says why it is not.
 */

import { resolve } from 'node:path';
import type { Failure, Result } from '../base/result.ts';
import { failure, success } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { connect } from '../control/client.ts';
import { DEFAULT_ENGINE_NAME, socketPathOf } from '../control/engine-name.ts';
import { packageVersion } from '../engine/package-version.ts';
import { counted, harmless } from '../engine/text.ts';
import type { RunningNetwork } from '../network/running-network.ts';
import { readConfiguration, STANDARD_INPUT } from './configuration-file.ts';
import { reportToStarter, startDetached } from './detach.ts';
import { type LogLevel, makeEngineLog } from './engine-log.ts';
import { EXIT } from './exit.ts';
import type { ListenAddress } from './parse/listen.ts';
import { readText } from './read-text.ts';
import { StandardError } from './standard-error.ts';
import { UsageError } from './usage-error.ts';

export interface UpFlags {
  readonly name?: string;
  readonly socket?: string;
  readonly detach?: true;
  /** Given by `--detach` to the second process. */
  readonly detached?: true;
  readonly listen?: ListenAddress;
  readonly tokenFile?: string;
  readonly logLevel?: LogLevel;
}

interface UpOptions {
  readonly name: string;
  readonly socketPath: string;
  readonly tcp: { readonly address: string; readonly port: number; readonly token: string } | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly detached: boolean;
}

/** Resolves with the exit status, when everything is undone. */
export async function upCommand(file: string | undefined, flags: UpFlags): Promise<number> {
  const standardError = new StandardError();
  try {
    const options = judgeFlags(flags);
    if (flags.detach === true && file === STANDARD_INPUT) {
      throw new UsageError('--detach with "-": a daemon has no standard input', 'Name a file.');
    }
    const read = file === undefined ? undefined : readConfiguration(file);
    if (read?.ok === false) {
      standardError.write(read.text);
      return EXIT.usage;
    }
    const fail = (reason: Failure): number => tellFailure(reason, standardError, options.detached);
    const ready = options.detached ? success(undefined) : await socketIsFree(options);
    if (!ready.ok) return fail(ready.failure);
    if (flags.detach === true) {
      const started = await startDetached(options.name, detachedWords(file, flags));
      if (!started.ok) return fail(started.failure);
      standardError.write(started.value);
      return EXIT.success;
    }
    const ended = await runEngine(read?.config, options, standardError);
    return ended.ok ? EXIT.success : fail(ended.failure);
  } finally {
    await standardError.close();
  }
}

async function runEngine(
  config: Config | undefined,
  options: UpOptions,
  standardError: StandardError,
): Promise<Result<undefined>> {
  const { name, socketPath, tcp } = options;
  const { createNetwork } = await import('../network/network.ts');
  let network: RunningNetwork | undefined;
  const log = makeEngineLog(
    () => {
      const logging = network?.configuration().config.logging ?? config?.logging;
      return { level: options.logLevel ?? logging?.level ?? 'info', format: logging?.format ?? 'text' };
    },
    (line) => standardError.write(line),
    options.detached,
  );
  const end = endRequests();
  const made = await createNetwork({ name, version: packageVersion(), log, ...flowsMaxOf(config) });
  if (!made.ok) return made;
  network = made.value;
  try {
    const applied = config === undefined ? success({ actions: [] }) : await network.apply(config);
    if (!applied.ok) return applied;
    const { startServer } = await import('../control/server.ts');
    const server = await startServer(network, { socketPath, tcp, log, onStop: end.request });
    if (!server.ok) return server;
    const where = server.value.url === undefined ? socketPath : `${socketPath} and ${server.value.url}`;
    const text = `${config === undefined ? 'an empty engine' : contentsOf(config)}; listening at ${where}`;
    log('info', text);
    reportToStarter({ ready: text });
    await end.requested;
    await server.value.close();
    return success(undefined);
  } finally {
    await network.close();
    end.forget();
  }
}

/** Two engines can't have one socket. It is looked at before anything is made, and again when it is. */
async function socketIsFree({ socketPath }: UpOptions): Promise<Result<undefined>> {
  let running: string;
  try {
    const client = await connect({ socketPath, timeoutMs: 5000 });
    const { pid, name } = await client.engine();
    running = `the engine ${name} (process ${pid}) listens at ${socketPath}`;
  } catch {
    return success(undefined);
  }
  return failure('engine-running', `${running}: change it with \`tapster apply\`, or end it with \`tapster down\``);
}

interface EndRequests {
  readonly requested: Promise<void>;
  readonly request: () => void;
  /** No more is listened for. */
  readonly forget: () => void;
}

/** The first signal is a wish, the second one an order. */
function endRequests(): EndRequests {
  let request: () => void = () => {};
  const requested = new Promise<void>((wish) => {
    request = wish;
  });
  let wished = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (wished) process.exit(SIGNAL_STATUS + (signal === 'SIGINT' ? 2 : signal === 'SIGHUP' ? 1 : 15));
    wished = true;
    request();
  };
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, onSignal);
  return {
    requested,
    request,
    forget: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

/** As shells tell of who was killed. */
const SIGNAL_STATUS = 128;

function judgeFlags(flags: UpFlags): UpOptions {
  const { name = DEFAULT_ENGINE_NAME, socket, listen, tokenFile, logLevel } = flags;
  if ((listen === undefined) !== (tokenFile === undefined)) {
    throw new UsageError(
      '--listen and --token-file go together',
      'A port is for whoever has the token: head -c 16 /dev/urandom | xxd -p > FILE',
    );
  }
  const path = socket === undefined ? socketPathOf(name) : success(resolve(socket));
  if (!path.ok) throw new UsageError(path.failure.message);
  return {
    name,
    socketPath: path.value,
    tcp: listen === undefined ? undefined : { ...listen, token: readToken(tokenFile as string) },
    logLevel,
    detached: flags.detached === true,
  };
}

function readToken(file: string): string {
  const read = readText(file);
  if (!read.ok) throw new UsageError(`--token-file: ${read.failure.message}`);
  return read.value.trim();
}

/** The same again for the second process, which is in another folder. */
function detachedWords(file: string | undefined, flags: UpFlags): string[] {
  const valued: readonly (readonly [string, string | undefined])[] = [
    ['--name', flags.name],
    ['--socket', flags.socket === undefined ? undefined : resolve(flags.socket)],
    ['--listen', flags.listen?.text],
    ['--token-file', flags.tokenFile === undefined ? undefined : resolve(flags.tokenFile)],
    ['--log-level', flags.logLevel],
  ];
  const words = valued.flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
  return ['up', '--detached', ...words, ...(file === undefined ? [] : [resolve(file)])];
}

/** `3 interfaces, 1 bridge, 2 routes`. */
function contentsOf({ interfaces, bridges, routes, uplink }: Config): string {
  const parts = [
    [Object.keys(interfaces).length, 'interface'],
    [Object.keys(bridges).length, 'bridge'],
    [routes.length, 'route'],
  ] as const;
  const texts = parts.filter(([count]) => count > 0).map(([count, noun]) => counted(count, noun));
  if (uplink !== undefined) texts.push('an uplink');
  return texts.length === 0 ? 'an empty engine' : texts.join(', ');
}

/** With its causes. Whoever started a daemon is told too. */
function tellFailure(reason: Failure, standardError: StandardError, detached: boolean): number {
  const lines: string[] = [];
  for (let at: Failure | undefined = reason; at !== undefined; at = at.cause) {
    lines.push(at === reason ? at.message : `  because: ${at.message}`);
  }
  const text = lines.map((line) => `tapster: ${harmless(line)}\n`).join('');
  standardError.write(text);
  if (detached) reportToStarter({ failed: lines });
  return EXIT.refused;
}

/** Room for flows is made once. */
function flowsMaxOf(config: Config | undefined): { readonly flowsMax?: number } {
  return config?.uplink === undefined ? {} : { flowsMax: config.uplink.flowsMax };
}
