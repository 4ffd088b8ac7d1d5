/** A served `FakeNetwork`, with what speaks to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, connect } from './client.ts';
import { FakeNetwork } from './network-fixture.test.ts';
import { type Server, type ServerOptions, startServer } from './server.ts';

export interface Served {
  readonly network: FakeNetwork;
  readonly client: Client;
  readonly server: Server;
  readonly folder: string;
  readonly socketPath: string;
  /** Lines of the log. */
  readonly lines: string[];
  stops: number;
  close(): Promise<void>;
}

export async function serve(
  options: Partial<ServerOptions> = {},
  network: FakeNetwork = new FakeNetwork(),
): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-api-'));
  const socketPath = join(folder, 'run', 'main.sock');
  const lines: string[] = [];
  const started = await startServer(network, {
    socketPath,
    log: (level, message) => lines.push(`${level}: ${message}`),
    onStop: () => served.stops++,
    ...options,
  });
  if (!started.ok) throw new Error(started.failure.message);
  const server = started.value;
  const client = await connect({ socketPath });
  const close = async (): Promise<void> => {
    await client.close();
    await server.close();
    rmSync(folder, { recursive: true });
  };
  const served: Served = { network, client, server, folder, socketPath, lines, stops: 0, close };
  return served;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A request of any making. */
export function raw(
  where: { readonly socketPath: string } | { readonly port: number },
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...where, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
