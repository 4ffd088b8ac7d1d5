/**
 * The API of a running network, listening: on a UNIX socket that only the engine's user may open, and if wanted on a loopback port for whoever has the token.
 *
 * All of it runs on the engine's thread, between turns. Whatever a client sends or fails to take is bounded: see build-api.ts, body-parsers.ts, event-hub.ts.
 *
 * Loads Fastify, zod, yaml and prom-client: import it with `await import()` where an engine is started.
 */

import { isLoopback, parseIpAddress } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { RunningNetwork } from '../network/running-network.ts';
import type { ApiContext } from './api.ts';
import { buildApi, type Log } from './build-api.ts';
import { ConfigEditor } from './config-editor.ts';
import { EventHub, type HubTimes } from './event-hub.ts';
import { bearerGuard, TOKEN_CHARACTERS_MIN } from './guard.ts';
import { Metrics } from './metrics.ts';
import { makeSocketFile } from './socket-file.ts';

export interface ServerOptions {
  /** Absolute; `socketPathOf` knows it by the engine's name. */
  readonly socketPath: string;
  readonly tcp?: TcpOptions | undefined;
  readonly log: Log;
  /** Somebody asked the engine to end, and was answered. Called once at most. */
  readonly onStop: () => void;
  /** For tests. */
  readonly eventTimes?: HubTimes;
}

export interface TcpOptions {
  /** 0: one that is free. */
  readonly port: number;
  /** Loopback. Left out: 127.0.0.1. */
  readonly address?: string | undefined;
  /** 16 characters at least, without white space. */
  readonly token: string;
}

export interface Server {
  readonly socketPath: string;
  /** As `http://127.0.0.1:7100`. */
  readonly url: string | undefined;
  /** Connections are cut; the socket's file goes, if it is still ours. */
  close(): Promise<void>;
}

export async function startServer(network: RunningNetwork, options: ServerOptions): Promise<Result<Server>> {
  const { socketPath, tcp, log } = options;
  const wrong = tcp === undefined ? undefined : whatIsWrong(tcp);
  if (wrong !== undefined) return wrong;
  const events = new EventHub(network, options.eventTimes);
  const context: ApiContext = {
    network,
    editor: new ConfigEditor(network),
    events,
    metrics: new Metrics(network),
    onStop: once(options.onStop),
  };
  const local = await buildApi(context, log);
  const file = await makeSocketFile(socketPath, (path) => local.listen({ path }));
  if (!file.ok) {
    await local.close();
    return file;
  }
  const closeLocal = async (): Promise<void> => {
    events.close();
    await file.value.remove();
    await local.close();
  };
  if (tcp === undefined) return success({ socketPath, url: undefined, close: closeLocal });
  const port = await listenOnPort(context, tcp, log);
  if (!port.ok) {
    await closeLocal();
    return port;
  }
  const close = async (): Promise<void> => {
    await Promise.all([closeLocal(), port.value.close()]);
  };
  return success({ socketPath, url: port.value.url, close });
}

async function listenOnPort(
  context: ApiContext,
  { port, address = '127.0.0.1', token }: TcpOptions,
  log: Log,
): Promise<Result<{ readonly url: string; close(): Promise<void> }>> {
  const api = await buildApi(context, log, bearerGuard(token));
  try {
    const url = await api.listen({ port, host: address });
    return success({ url, close: () => api.close() });
  } catch (error) {
    await api.close();
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'somebody else listens there: choose another port' : (code ?? message);
    return failure('api-port-failed', `the API can not listen at ${address} port ${port}: ${why}`);
  }
}

function whatIsWrong({ address, token, port }: TcpOptions): ReturnType<typeof failure> | undefined {
  const parsed = address === undefined ? undefined : parseIpAddress(address);
  if (address !== undefined && (parsed === undefined || !isLoopback(parsed))) {
    return failure(
      'api-address-refused',
      `the API listens at loopback addresses only, not at ${address}: who has it has the engine; forward a port (ssh -L) to reach it from afar`,
    );
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    return failure('api-port-invalid', `${port} is no port: 0 to 65535`);
  }
  if (!/^\S+$/.test(token) || token.length < TOKEN_CHARACTERS_MIN) {
    return failure(
      'api-token-weak',
      `a token has ${TOKEN_CHARACTERS_MIN} characters at least and no white space, such as that of: head -c 16 /dev/urandom | xxd -p`,
    );
  }
  return undefined;
}

function once(call: () => void): () => void {
  let called = false;
  return () => {
    if (called) return;
    called = true;
    call();
  };
}
