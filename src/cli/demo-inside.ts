/** The half of the demonstration that runs inside (see `demo.ts`): `node demo-inside.js PORT FAMILY...`. Exits with 1 when a step failed. */
import { Resolver } from 'node:dns/promises';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { parseIpAddress } from '../base/address.ts';
import { echoOnce } from '../engine/probe/echo.ts';
import { LinuxSys } from '../sys/linux.ts';

const HOST = 'host.tapster.internal';
/** A name of the world's, to be looked up where there is an internet. */
const WORLD = 'example.org';
const TIMEOUT_MS = 5000;
const WORLD_TIMEOUT_MS = 1500;
const TITLE_COLUMNS = 16;

const port = Number(process.argv[2]);
const families = process.argv.slice(3).map(Number);
let failures = 0;

await step('interfaces', showInterfaces);
for (const family of families) {
  await step(`DNS, IPv${family}`, async () => `${HOST} is ${await addressOf(family)}`);
  await step(`HTTP over IPv${family}`, () => fetchFrom(family));
  await step(`ping over IPv${family}`, () => ping(family));
}
await step('the world', lookUpWorld);
process.exit(failures === 0 ? 0 : 1);

async function step(title: string, run: () => Promise<string>): Promise<void> {
  let outcome: string;
  try {
    outcome = await run();
  } catch (error) {
    failures++;
    outcome = `FAILED: ${error instanceof Error ? error.message : String(error)}`;
  }
  process.stdout.write(`${title.padEnd(TITLE_COLUMNS)}${outcome}\n`);
}

async function showInterfaces(): Promise<string> {
  const interfaces = Object.entries(networkInterfaces()).filter(([name]) => name !== 'lo');
  const text = interfaces.map(([name, list]) => `${name}: ${(list ?? []).map(({ cidr }) => cidr).join(', ')}`);
  if (text.length === 0) throw new Error('there is none');
  return text.join('; ');
}

/** Asks the DNS server that resolv.conf names, which is Tapster, and not /etc/hosts. */
async function addressOf(family: number): Promise<string> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  const [address] = family === 4 ? await resolver.resolve4(HOST) : await resolver.resolve6(HOST);
  if (address === undefined) throw new Error('the answer is empty');
  return address;
}

function fetchFrom(family: number): Promise<string> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const options = { host: HOST, port, family, timeout: TIMEOUT_MS, agent: false } as const;
    const request = get(options, (response) => {
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        const tookMs = (performance.now() - startedMs).toFixed(1);
        const text = `http://${HOST}:${port}/ ${response.statusCode}, ${bytes} bytes in ${tookMs} ms`;
        if (response.statusCode === 200 && bytes > 0) resolve(text);
        else reject(new Error(text));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    request.on('error', reject);
  });
}

async function ping(family: number): Promise<string> {
  const text = await addressOf(family);
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`"${text}" is not an address`);
  const echo = await echoOnce(new LinuxSys(), address, TIMEOUT_MS);
  // In a container that may not set sysctls of its own network: a missing privilege, and no failure of ours.
  if (!echo.ok && echo.failure.code === 'ping-denied') return `is not allowed here (${echo.failure.message})`;
  if (!echo.ok) throw new Error(`${text}: ${echo.failure.message}`);
  return `${text} answers in ${(echo.value / 1000).toFixed(2)} ms`;
}

/** Not reaching the world is no failure: the demonstration needs none. */
async function lookUpWorld(): Promise<string> {
  const resolver = new Resolver({ timeout: WORLD_TIMEOUT_MS, tries: 1 });
  try {
    const addresses = await resolver.resolve4(WORLD);
    return `${WORLD} is ${addresses[0]}`;
  } catch (error) {
    return `${WORLD} can't be looked up here (${(error as NodeJS.ErrnoException).code}); nothing of this needs it`;
  }
}
