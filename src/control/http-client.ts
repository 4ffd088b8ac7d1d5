/**
 * Requests to an engine, by its UNIX socket or a loopback port. One connection for each request: over a UNIX socket it costs less than keeping track of
 * those that are kept, and nothing is left open that would hold the program up.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { ApiError, readProblem } from './api-error.ts';

/** Bytes of one answer; beyond it the request fails. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

export interface Endpoint {
  /** `{ socketPath }` or `{ host, port }`, as node:http takes it. */
  readonly address: { readonly socketPath: string } | { readonly host: string; readonly port: number };
  readonly token: string | undefined;
  /** No answer within it: the request fails. */
  readonly timeoutMs: number;
  /** What to say when nobody is there, by the system's error code. */
  readonly unreachable: (errno: string | undefined, cause: Error) => ApiError;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  /** Sent as JSON; as it is if it is text. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
}

export class HttpClient {
  readonly #endpoint: Endpoint;
  readonly #open: Set<ClientRequest>;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.#open = new Set();
  }

  /** The answer, if it is a success. */
  async send(call: Call): Promise<Answer> {
    const response = await this.#request(call, this.#endpoint.timeoutMs);
    const text = await this.#textOf(response);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw readProblem(status, text);
    return { status, etag: response.headers.etag, text };
  }

  /** An answer that does not end by itself, as it comes. Ends the connection when the caller leaves the loop. */
  async *stream(call: Call, signal?: AbortSignal): AsyncGenerator<string, void, undefined> {
    const response = await this.#request(call, 0, signal);
    if (response.statusCode !== 200) throw readProblem(response.statusCode ?? 0, await this.#textOf(response));
    response.setEncoding('utf8');
    try {
      for await (const chunk of response) yield chunk as string;
    } catch (error) {
      if (signal?.aborted) return;
      throw this.#failed(error as Error);
    } finally {
      response.destroy();
    }
  }

  /** Whatever is not answered yet fails. */
  close(): void {
    for (const request of this.#open) request.destroy();
  }

  #request(call: Call, timeoutMs: number, signal?: AbortSignal): Promise<IncomingMessage> {
    const { address, token } = this.#endpoint;
    const body = bodyOf(call.body);
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        ...address,
        agent: false,
        method: call.method,
        path: `${call.path}${queryText(call.query)}`,
        headers: {
          accept: 'application/json, application/problem+json',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...call.headers,
        },
        ...(signal === undefined ? {} : { signal }),
      });
      this.#open.add(request);
      request.on('close', () => this.#open.delete(request));
      request.on('response', resolve);
      request.on('error', (error) => reject(this.#failed(error)));
      if (timeoutMs > 0) {
        request.setTimeout(timeoutMs, () =>
          request.destroy(new ApiError(0, 'timeout', `the engine did not answer for ${timeoutMs / 1000} s`)),
        );
      }
      request.end(body);
    });
  }

  async #textOf(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response) {
        bytes += (chunk as Buffer).length;
        if (bytes > ANSWER_BYTES_MAX)
          throw new ApiError(0, 'answer-too-large', `an answer has more than ${ANSWER_BYTES_MAX} bytes`);
        chunks.push(chunk as Buffer);
      }
    } catch (error) {
      throw this.#failed(error as Error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #failed(error: Error): ApiError {
    return error instanceof ApiError ? error : this.#endpoint.unreachable((error as NodeJS.ErrnoException).code, error);
  }
}

function bodyOf(body: unknown): string | undefined {
  return body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
}

function queryText(query: Call['query']): string {
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) given.set(key, String(value));
  return given.size === 0 ? '' : `?${given}`;
}
