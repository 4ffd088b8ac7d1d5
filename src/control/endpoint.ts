/** Where an engine listens, from what the user said; and what to say when none does. */
import { isLoopback, parseIpAddress } from '../base/address.ts';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { ApiError } from './api-error.ts';
import { DEFAULT_ENGINE_NAME, socketPathOf } from './engine-name.ts';
import type { Endpoint } from './http-client.ts';

const TIMEOUT_MS = 150_000;

export interface EndpointOptions {
  readonly socketPath?: string;
  readonly name?: string;
  readonly url?: string;
  readonly token?: string;
  readonly timeoutMs?: number;
}

/** Throws an `ApiError` of status 0 where the options can't be right. */
export function endpointOf(options: EndpointOptions): { readonly endpoint: Endpoint; readonly where: string } {
  const { socketPath, name, url, token, timeoutMs = TIMEOUT_MS } = options;
  if ([socketPath, name, url].filter((each) => each !== undefined).length > 1) {
    throw invalid('an engine is named by one of its socket, its name and its URL');
  }
  if (url !== undefined) {
    const address = loopbackOf(url);
    return {
      endpoint: { address, token, timeoutMs, unreachable: (errno, cause) => portSilent(url, errno, cause) },
      where: url,
    };
  }
  if (token !== undefined) throw invalid('a token goes with a URL: a UNIX socket is guarded by its permissions');
  const engine = name ?? DEFAULT_ENGINE_NAME;
  const path = socketPath ?? pathOfEngine(engine);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw invalid(`the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes: ${path}`);
  }
  const start = `tapster up${socketPath === undefined ? nameOption(engine) : ` --socket ${path}`}`;
  const unreachable: Endpoint['unreachable'] = (errno, cause) => socketSilent(path, start, errno, cause);
  return { endpoint: { address: { socketPath: path }, token, timeoutMs, unreachable }, where: path };
}

function pathOfEngine(name: string): string {
  const path = socketPathOf(name);
  if (path.ok) return path.value;
  throw new ApiError(0, path.failure.code, path.failure.message);
}

function nameOption(name: string): string {
  return name === DEFAULT_ENGINE_NAME ? '' : ` --name ${name}`;
}

function loopbackOf(url: string): { readonly host: string; readonly port: number } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const host = parsed?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const address = parseIpAddress(host === 'localhost' ? '127.0.0.1' : host);
  if (parsed?.protocol !== 'http:' || address === undefined || !isLoopback(address)) {
    throw invalid(`${url} is not the URL of an engine: it is as http://127.0.0.1:7100, at a loopback address`);
  }
  return { host, port: Number(parsed.port === '' ? 80 : parsed.port) };
}

function socketSilent(path: string, start: string, errno: string | undefined, cause: Error): ApiError {
  switch (errno) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTSOCK': {
      const why = errno === 'ENOENT' ? 'there is no socket' : 'nobody listens';
      return new ApiError(
        0,
        'engine-not-running',
        `no engine runs: ${why} at ${path}; start one with \`${start}\``,
        undefined,
        cause,
      );
    }
    case 'EACCES':
    case 'EPERM':
      return new ApiError(
        0,
        'engine-denied',
        `${path} belongs to another user: only who started an engine may control it`,
        undefined,
        cause,
      );
    default:
      return lost(path, errno, cause);
  }
}

function portSilent(url: string, errno: string | undefined, cause: Error): ApiError {
  if (errno !== 'ECONNREFUSED') return lost(url, errno, cause);
  const message = `no engine listens at ${url}; start one that does with \`tapster up --listen ADDR:PORT --token-file FILE\``;
  return new ApiError(0, 'engine-not-running', message, undefined, cause);
}

function lost(where: string, errno: string | undefined, cause: Error): ApiError {
  const message = `the connection to the engine at ${where} has ended (${errno ?? cause.message})`;
  return new ApiError(0, 'engine-lost', message, undefined, cause);
}

function invalid(message: string): ApiError {
  return new ApiError(0, 'options-invalid', message);
}
