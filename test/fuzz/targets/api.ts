/**
 * Requests of any making to the API of a network that is none. An input is requests, each with its length in front: a byte for the method, and lines: the path, the type of
 * the body, the `If-Match` header, then the body.
 */
import assert from 'node:assert/strict';
import type { Random } from '#tapster/base/random.js';
import type { Api } from '#tapster/control/api.js';
import { buildApi } from '#tapster/control/build-api.js';
import { ConfigEditor } from '#tapster/control/config-editor.js';
import { EventHub } from '#tapster/control/event-hub.js';
import { Metrics } from '#tapster/control/metrics.js';
import { FakeNetwork } from '#tapster/control/network-fixture.test.js';
import { pick } from '../frames.ts';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;
const REQUESTS_MAX = 4;

export const apiTarget: FuzzTarget = {
  name: 'api',
  about: 'any request is answered, none by a mistake of ours; what is refused says so as a problem document',
  bytesMax: 4096,
  millisecondsMax: 2000,
  generate: (random) => joinByLength(Array.from({ length: random.between(1, REQUESTS_MAX) }, () => request(random))),
  split: splitByLength,
  join: joinByLength,
  run,
};

const PATHS: readonly string[] = [
  ...[
    'config',
    'interfaces',
    'bridges',
    'routes',
    'neighbours',
    'uplink',
    'trace',
    'captures',
    'clear',
    'ping',
    'engine',
  ],
  ...['flows', 'errors', 'runtime', 'l2fib', 'event-log', 'taps', 'threads', 'nodes', 'hardware-interfaces', 'stop'],
];
const NAMES: readonly string[] = [
  'tap0',
  'tap1',
  'lan',
  'bvi.lan',
  'tap0.1',
  '..',
  '__proto__',
  '%00',
  '%ff',
  '%2f',
  'x',
];
const QUERIES: readonly string[] = [
  ...[
    'dryRun=true',
    'dryRun=1',
    'limit=-1',
    'limit=5',
    'family=ipv6',
    'within=10.0.0.0/8',
    'interface=tap0',
    'to=10.9.0.0/16',
  ],
  ...['address=10.0.0.9', '__proto__=1', 'a=%', 'limit=1&limit=2', 'types=flow'],
];
const TYPES: readonly string[] = [
  ...['application/json', 'application/json', 'application/yaml', 'application/merge-patch+json', 'text/plain', ''],
];
const BODIES: readonly string[] = [
  '{"interfaces":{"tap0":{"tap":{},"address":["10.0.0.1/24"]}},"routes":[{"to":"10.9.0.0/16","via":"10.0.0.9"}]}',
  'interfaces: { tap0: { tap: {}, bridge: lan } }\nbridges: { lan: {} }\n',
  '{"name":"tap5","config":{"tap":{},"bridge":"lan"}}',
  '{"up":false,"mtu":null}',
  '{"name":"wan","config":{"bvi":{"address":["10.1.0.1/24"]}}}',
  '{"to":"10.1.0.0/16","via":["10.0.0.9",{"to":"10.0.0.8","weight":2}]}',
  '{"interface":"tap0","address":"10.0.0.9","mac":"02:00:00:00:00:09"}',
  '{"translate":"host"}',
  '{"node":"ip4-lookup","count":5,"filter":"tcp port 80"}',
  '{"interface":"tap0","file":"/tmp/x.pcapng","directions":["rx"],"packetsMax":10}',
  '{"address":"10.0.0.1","count":1,"intervalMs":10}',
  '{"what":"errors"}',
  '{"__proto__":{"up":true},"constructor":{"prototype":{}}}',
  '[[[[[[[[[[[[]]]]]]]]]]]]',
  '{"interfaces":null,"bridges":[],"routes":{}}',
  '',
];

function request(random: Random): Uint8Array {
  const name = random.chance(0.5) ? `/${pick(random, NAMES)}` : '';
  const query = random.chance(0.4) ? `?${pick(random, QUERIES)}` : '';
  const match = random.chance(0.2) ? pick(random, ['"1"', '"2"', '*', 'W/"1"', 'x']) : '';
  const lines = [`/v1/${pick(random, PATHS)}${name}${query}`, pick(random, TYPES), match, pick(random, BODIES)];
  return Uint8Array.of(random.below(METHODS.length), ...new TextEncoder().encode(lines.join('\n')));
}

interface Served {
  readonly api: Api;
  readonly network: FakeNetwork;
  readonly lines: string[];
}

/** Making one takes longer than asking it. */
let served: Promise<Served> | undefined;
/** What the network begins with, in each input. */
const { config: beginning } = new FakeNetwork();

async function run(input: Uint8Array): Promise<void> {
  served ??= serve();
  const { api, network, lines } = await served;
  network.config = beginning;
  network.revision = 1;
  network.calls.length = 0;
  lines.length = 0;
  for (const part of splitByLength(input)) await ask(api, part);
  assert.deepEqual(lines, [], 'nothing is worth a line in the log');
}

async function serve(): Promise<Served> {
  const network = new FakeNetwork();
  const lines: string[] = [];
  const context = {
    ...{ network, editor: new ConfigEditor(network), events: new EventHub(network), metrics: new Metrics(network) },
    onStop: () => {},
  };
  const api = await buildApi(context, (level, message) => lines.push(`${level}: ${message}`));
  return { api, network, lines };
}

async function ask(api: Api, part: Uint8Array): Promise<void> {
  const [path = '', type = '', match = '', ...body] = String.fromCharCode(...part.subarray(1)).split('\n');
  // Others are refused before they come here; and who asks for events is answered without end.
  const url = `/${path.replace(/[^\x21-\x7e]/g, '').replace(/^\/+/, '')}`;
  if (!URL.canParse(url, 'http://localhost') || /event/i.test(decoded(url))) return;
  const header = (value: string): string => value.replace(/[^\x20-\x7e]/g, '').trim();
  const headers: Record<string, string> = {};
  if (header(type) !== '') headers['content-type'] = header(type);
  if (header(match) !== '') headers['if-match'] = header(match);
  const payload = body.join('\n');
  const method = METHODS[(part[0] ?? 0) % METHODS.length]!;
  const answer = await api.inject({ method, url, headers, ...(payload === '' ? {} : { payload }) });
  assert.ok(answer.statusCode < 500, `${method} ${url} is answered ${answer.statusCode}: ${answer.payload}`);
  if (answer.statusCode < 400 || method === 'HEAD') return;
  const problem = JSON.parse(answer.payload) as { readonly status: unknown; readonly code: unknown };
  assert.equal(problem.status, answer.statusCode, 'a problem document has the status');
  assert.equal(typeof problem.code, 'string', 'and a code');
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}
