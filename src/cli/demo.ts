/**
 * The demonstration: a program in a network of its own reaches a web server that listens on the host's loopback only, and Tapster tells what happened.
 *
 * Two halves. This one is on the host: it serves HTTP on 127.0.0.1 and ::1 and is `tapster run --host-loopback --summary` of the other half, `demo-inside.ts`, which
 * looks names up, fetches over IPv4 and IPv6, and pings. Both are Node programs, so that a fresh Debian has all that is needed, and no
 * internet is; where there is one, a look-up shows it.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { EXIT } from './exit.ts';
import { runCommand } from './run-command.ts';
import { toRunOptions } from './run-options.ts';

/** Enough to be seen in the table. */
const BODY: Uint8Array = new Uint8Array(1_000_000).fill(0x2e);

const INSIDE: string = fileURLToPath(new URL('./demo-inside.js', import.meta.url));

export async function runDemo(): Promise<number> {
  const ipv4 = await serve('127.0.0.1', 0);
  if (ipv4 === undefined) {
    process.stderr.write("tapster: the demonstration can't listen on 127.0.0.1\n");
    return EXIT.failed;
  }
  const { port } = ipv4.address() as AddressInfo;
  const ipv6 = await serve('::1', port);
  const families = ipv6 === undefined ? ['4'] : ['4', '6'];
  process.stdout.write(`A web server listens at port ${port} of this machine's loopback, where only this machine can reach it.
Now a program starts in a network namespace of its own:

  tapster run --summary --host-loopback -- node ${INSIDE} ${port} ${families.join(' ')}

`);
  const command = [process.execPath, INSIDE, String(port), ...families];
  const status = await runCommand(toRunOptions(command, { hostLoopback: 'gateway', summary: true }));
  for (const server of [ipv4, ipv6]) {
    server?.close();
    server?.closeAllConnections();
  }
  if (status === EXIT.success) process.stdout.write('\nNext: npm start -- COMMAND, or node dist/cli/main.js --help\n');
  return status;
}

/** Undefined where it can't listen: there may be no IPv6 here. */
function serve(address: string, port: number): Promise<Server | undefined> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': BODY.length });
    response.end(BODY);
  });
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, address, () => resolve(server));
  });
}
