import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseIpAddress, parseIpPrefix } from '../base/address.ts';
import type { FlowRecord } from './flow-record.ts';
import type { PublishRule, RunOptions } from './run-options.ts';
import { OPTIONS as DEFAULTS } from './run-options-fixture.test.ts';
import { runSession } from './run-session.ts';

const OPTIONS: RunOptions = { ...DEFAULTS, command: ['true'], flowsMax: 1024 };

interface Session {
  /** The exit status, or the failure's code and message. */
  readonly result: number | string;
  readonly logged: string[];
  readonly published: string[];
  readonly closed: FlowRecord[];
}

async function session(options: Partial<RunOptions>): Promise<Session> {
  const logged: string[] = [];
  const published: string[] = [];
  const closed: FlowRecord[] = [];
  const result = await runSession(
    { ...OPTIONS, ...options },
    {
      flowSinks: [{ opened: () => {}, closed: (record) => closed.push(record) }],
      log: (level, message) => logged.push(`${level}: ${message}`),
      published: (_rule, address, port) => published.push(`${address} ${port}`),
    },
  );
  const value = result.ok ? result.value : `${result.failure.code}: ${result.failure.message}`;
  return { result: value, logged, published, closed };
}

function rule(firstPort: number, fields: Partial<PublishRule> = {}): PublishRule {
  return { protocol: 'tcp', address: undefined, firstPort, lastPort: firstPort, toPort: undefined, ...fields };
}

/** What this process has open, but for what Node itself opens when it likes. */
function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith('/proc/') ? [] : [`${fd} ${target}`];
    } catch {
      return [];
    }
  });
}

// The first session opens what stays open: the signals' descriptor, libuv's watchers.
const first = await session({});
const skip = first.result === 0 ? false : `no namespace: ${first.result}`;

describe('a session', { skip }, () => {
  let server: Server;
  let port = 0;

  before(async () => {
    server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  after(() => server.close());

  /** Runs a session, after which nothing more is open than before. */
  async function clean(options: Partial<RunOptions>): Promise<Session> {
    const opened = descriptors();
    const outcome = await session(options);
    // Callers' sockets of the server here are closed in their own time.
    while ((await promisify(server.getConnections.bind(server))()) > 0) await setImmediate();
    assert.deepEqual(
      descriptors().filter((each) => !opened.includes(each)),
      [],
    );
    return outcome;
  }

  it('ends with the status of the command', async () => {
    assert.equal((await clean({ command: ['sh', '-c', 'exit 7'] })).result, 7);
    assert.equal((await clean({ command: ['sh', '-c', 'kill -9 $$'] })).result, 137);
  });

  it("reaches the host's loopback when asked to, and tells of the flow", async () => {
    const script = `require('net').connect(${port}, '10.9.9.9').on('data', (d) => process.exit(d.length)).on('error', () => process.exit(9))`;
    const command = [process.execPath, '-e', script];
    const hostLoopback = parseIpAddress('10.9.9.9');
    assert.ok(hostLoopback);
    const { result, closed } = await clean({ command, hostLoopback });
    assert.equal(result, 5);
    const flow = closed.find(({ protocol }) => protocol === 'tcp');
    assert.deepEqual(flow?.remote, { address: '10.9.9.9', port });
    assert.deepEqual(flow?.target, { address: '127.0.0.1', port });
    assert.equal(flow?.name, 'host.tapster.internal');
    assert.equal(flow?.bytesIn, 5);
  });

  it('opens published ports, and closes them', async () => {
    const { result, published } = await clean({ publish: [rule(0), rule(0, { protocol: 'udp' })] });
    assert.equal(result, 0);
    assert.ok(published.length >= 2);
  });

  it('leaves nothing behind when a port is taken', async () => {
    const taken = rule(port, { address: parseIpAddress('127.0.0.1') });
    const { result, published } = await clean({ publish: [rule(0), taken] });
    assert.match(String(result), /^port-in-use: /);
    assert.deepEqual(published, []);
  });

  it('leaves nothing behind when its capture can not be written', async () => {
    assert.match(String((await clean({ pcapPath: '/nonexistent/pcap' })).result), /^file-not-writable: /);
  });

  it('leaves nothing behind when the interface can not be had as it was asked for', async () => {
    const { result } = await clean({ interfaceName: 'lo' });
    assert.equal(typeof result, 'string');
  });

  it('leaves nothing behind when there is no such command', async () => {
    assert.match(String((await clean({ command: ['no-such-command'] })).result), /^command-not-found: /);
    assert.match(String((await clean({ command: ['/etc'] })).result), /^command-not-executable: /);
  });

  it("refuses an address for the host's loopback that is the command's own", async () => {
    const address = parseIpPrefix('10.8.8.8/24');
    assert.ok(address);
    const { result } = await clean({ addresses: [address], hostLoopback: address.address });
    assert.match(String(result), /^host-loopback-taken: --host-loopback 10\.8\.8\.8: /);
  });

  it('has no warning to give where all went well', () => {
    assert.deepEqual(
      first.logged.filter((line) => !line.startsWith('debug')),
      [],
    );
  });
});
