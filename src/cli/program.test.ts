import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunOptions } from '../engine/run-options.ts';
import { valueShapes } from './commands/network-options.ts';
import { makeRunCommand } from './commands/run.ts';
import { attachOptionalValues } from './parse/optional-value.ts';
import { main } from './program.ts';
import { type RunFlags, toRunOptions } from './run-options.ts';
import { UsageError } from './usage-error.ts';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

/** What the arguments behind `tapster run` mean. */
function meaning(...args: string[]): RunOptions {
  const run = makeRunCommand(() => {})
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  let options: RunOptions | undefined;
  run.action((words: string[], flags: RunFlags) => {
    options = toRunOptions(words, flags);
  });
  run.parse(attachOptionalValues(args, valueShapes(run)), { from: 'user' });
  assert.ok(options !== undefined);
  return options;
}

async function tell(...args: string[]): Promise<{ status: number; out: string; error: string }> {
  let out = '';
  let error = '';
  const status = await main(args, {
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    columns: 80,
  });
  return { status, out, error };
}

describe('tapster run: what its arguments mean', () => {
  it('has defaults for everything', () => {
    assert.deepEqual(meaning(), {
      command: [],
      root: false,
      interfaceName: 'eth0',
      families: 'both',
      addresses: [],
      gateways: [],
      mac: undefined,
      mtu: 65_520,
      configure: true,
      dns: 'forward',
      publish: [],
      hostLoopback: undefined,
      allowMetadata: false,
      tcp: true,
      udp: true,
      icmp: true,
      flowsMax: 65_536,
      pcapPath: undefined,
      flowsPath: undefined,
      summary: false,
      sandbox: true,
      verbosity: 'normal',
    });
  });

  it('reads every option', () => {
    const words = `--root --ifname tap7 -4 --address 192.0.2.15/24 --gateway 192.0.2.1 --mac 02:00:00:00:00:01 --mtu 576 --no-config
      --dns 9.9.9.9 --dns 1.1.1.1 -p 8080:80 --publish=53/udp --host-loopback 192.0.2.2 --allow-metadata --no-icmp --max-flows 100
      --pcap a.pcapng --flows - --summary -v -- curl -v`;
    const options = meaning(...words.split(/\s+/));
    assert.deepEqual(options.command, ['curl', '-v']);
    assert.equal(options.root, true);
    assert.equal(options.interfaceName, 'tap7');
    assert.equal(options.families, '4');
    assert.deepEqual(
      options.addresses.map(({ address, length }) => `${address}/${length}`),
      ['192.0.2.15/24'],
    );
    assert.deepEqual(options.gateways.map(String), ['192.0.2.1']);
    assert.equal(String(options.mac), '02:00:00:00:00:01');
    assert.equal(options.mtu, 576);
    assert.equal(options.configure, false);
    assert.deepEqual(typeof options.dns === 'string' ? [] : options.dns.map(String), ['9.9.9.9', '1.1.1.1']);
    assert.deepEqual(
      options.publish.map(({ protocol, firstPort }) => `${firstPort}/${protocol}`),
      ['8080/tcp', '53/udp'],
    );
    assert.equal(String(options.hostLoopback), '192.0.2.2');
    assert.equal(options.allowMetadata, true);
    assert.deepEqual([options.tcp, options.udp, options.icmp], [true, true, false]);
    assert.equal(options.flowsMax, 100);
    assert.deepEqual([options.pcapPath, options.flowsPath], ['a.pcapng', '-']);
    assert.equal(options.summary, true);
    assert.equal(options.verbosity, 'verbose');
    assert.deepEqual([meaning('--no-tcp').tcp, meaning('--no-udp').udp, meaning('-6').families], [false, false, '6']);
    assert.deepEqual([meaning('--no-dns').dns, meaning('-q').verbosity], ['none', 'quiet']);
  });

  it('leaves the options behind the command to the command', () => {
    assert.deepEqual(meaning('ls', '--summary', '-l').command, ['ls', '--summary', '-l']);
    assert.equal(meaning('ls', '--summary').summary, false);
    assert.deepEqual(meaning('-v', '--', '-odd', '--', 'x').command, ['-odd', '--', 'x']);
    assert.deepEqual(meaning('sh', '-c', 'true', '--', 'x').command, ['sh', '-c', 'true', '--', 'x']);
    assert.deepEqual(meaning('env', '--host-loopback', '10.0.0.1').command, ['env', '--host-loopback', '10.0.0.1']);
  });

  it('takes only an address for the value of --host-loopback', () => {
    const samples: [string[], string, string[]][] = [
      [['--host-loopback'], 'gateway', []],
      [['--host-loopback', '--', 'curl'], 'gateway', ['curl']],
      [['--host-loopback', 'curl', 'x'], 'gateway', ['curl', 'x']],
      [['--host-loopback', 'gateway', 'curl'], 'gateway', ['curl']],
      [['--host-loopback', '--summary', 'curl'], 'gateway', ['curl']],
      [['--host-loopback', '192.0.2.1', 'curl'], '192.0.2.1', ['curl']],
      [['--host-loopback', 'fd00::1'], 'fd00::1', []],
      [['--host-loopback=192.0.2.1', '--', 'curl'], '192.0.2.1', ['curl']],
      [['--mtu', '1500', '-vp', '80', '--host-loopback', 'ls'], 'gateway', ['ls']],
      [['--pcap', '--host-loopback'].reverse().concat('f', 'ls'), 'gateway', ['ls']],
    ];
    for (const [args, hostLoopback, command] of samples) {
      const options = meaning(...args);
      assert.equal(String(options.hostLoopback), hostLoopback, args.join(' '));
      assert.deepEqual(options.command, command, args.join(' '));
    }
    assert.throws(() => meaning('--host-loopback', '127.0.0.1', 'curl'), /loopback address/);
    assert.throws(() => meaning('--host-loopback', '300.0.0.1', 'curl'), /not an address/);
  });

  it('refuses what does not go together', () => {
    const samples: [string, RegExp][] = [
      ['-4 -6', /no family/],
      ['-v -q', /loud and silent/],
      ['--dns 9.9.9.9 --no-dns', /--no-dns/],
      ['--no-dns --dns 9.9.9.9', /--no-dns/],
      ['-4 --address fd00::1/64', /--address fd00::1: there is no IPv6 with -4/],
      ['-6 --gateway 192.0.2.1', /--gateway 192.0.2.1: there is no IPv4 with -6/],
      ['-4 --dns ::1', /--dns/],
      ['-6 -p 127.0.0.1:80', /--publish/],
      ['-4 --host-loopback fd00::1', /--host-loopback/],
      ['--gateway 192.0.2.1 --gateway 192.0.2.2', /two of one family/],
      ['--mtu 1000', /IPv6 needs 1280/],
      ['--no-tcp -p 80', /--publish 80\/tcp with --no-tcp/],
      ['--no-udp -p 80/udp', /--no-udp/],
      ['-p 80 -p 70-90:1000', /70-90\/tcp: 80\/tcp is published already/],
      ['-p 127.0.0.1:80 -p 80', /127.0.0.1:80\/tcp is published/],
      ['--pcap x --flows x', /both write "x"/],
    ];
    for (const [words, message] of samples) {
      assert.throws(
        () => meaning(...words.split(' ')),
        (error) => {
          assert.ok(error instanceof UsageError, words);
          assert.match(error.message, message);
          assert.ok(error.right !== undefined);
          return true;
        },
      );
    }
    assert.throws(() => meaning('--', ''), /the command is empty/);
    meaning(
      ...'-p 80 -p 80/udp -p 0 -p 0 -p 127.0.0.1:81 -p [::1]:81 --gateway 192.0.2.1 --gateway fe80::1'.split(' '),
    );
    meaning('-4', '--mtu', '576');
  });
});

describe('tapster', () => {
  it('tells mistakes in two lines at most, with status 2', async () => {
    const samples: [string[], string][] = [
      [
        ['run', '--mtu', '20'],
        'tapster: --mtu 20: below 576\nUse a number of bytes from 1280 (with -4: 576) to 65520.\n',
      ],
      [['run', '--mtuu', '1500'], "tapster: unknown option '--mtuu'\nDid you mean --mtu?\n"],
      [['run', '--mtu'], 'tapster: option \'--mtu <BYTES>\' argument missing\nTry "tapster run --help".\n'],
      [['run', '-4', '-6'], 'tapster: -4 with -6 leaves no family\nLeave both out to have both families.\n'],
      [['rnu'], "tapster: unknown command 'rnu'\nDid you mean run?\n"],
      [[], 'tapster: a command is missing\nTry "tapster --help".\n'],
      [['apply'], 'tapster: missing required argument \'file\'\nTry "tapster apply --help".\n'],
      [
        ['up', '--listen', '192.0.2.1:80'],
        'tapster: --listen 192.0.2.1:80: not a loopback address: whoever reaches the port could try\nUse a loopback address',
      ],
      [
        ['up', '--listen', '127.0.0.1:80'],
        'tapster: --listen and --token-file go together\nA port is for whoever has the token',
      ],
      [['up', '--name', '../x'], 'tapster: --name ../x: not the name of an engine\nUse 1 to 32 letters'],
      [['down', '--name', 'a', '--socket', 'b'], 'tapster: --name with --socket names two engines\nLeave one out.\n'],
      [
        ['ctl', '--url', 'http://127.0.0.1:80', 'show'],
        'tapster: --url and --token-file go together\nA port is guarded',
      ],
      [['ctl', 'shwo'], 'tapster: column 1: "shwo" does not fit here: did you mean "show"?\nExpected '],
      [['run', '--ifname', 'a\u001bb'], `tapster: --ifname a\\x1bb: "\\u001b" can't be part of an interface's name\n`],
    ];
    for (const [args, text] of samples) {
      const { status, out, error } = await tell(...args);
      assert.equal(status, 2, args.join(' '));
      assert.equal(out, '');
      assert.ok(error.startsWith(text), error);
      assert.ok(error.split('\n').length <= 3, error);
    }
  });

  it('has help that fits 80 columns', async () => {
    const commands = ['run', 'up', 'ctl', 'apply', 'down', 'doctor', 'completion'];
    for (const args of [['--help'], ['help', 'run'], ...commands.map((command) => [command, '--help'])]) {
      const { status, out } = await tell(...args);
      assert.equal(status, 0, args.join(' '));
      assert.match(out, /^Usage: tapster/);
      for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
    }
    assert.doesNotMatch((await tell('--help')).out, /demo/);
  });

  it('prints its version without loading the engine or the addon', async () => {
    assert.match((await tell('--version')).out, /^tapster \d+\.\d+\.\d+\n$/);
    const trace = spawnSync(process.execPath, ['--trace-warnings', MAIN, '--version'], {
      encoding: 'utf8',
      env: { ...process.env, NODE_DEBUG: 'esm' },
    });
    assert.equal(trace.status, 0);
    assert.match(trace.stdout, /^tapster /);
    assert.match(trace.stderr, /dist\/cli\/program\.js/, 'the trace names modules');
    assert.doesNotMatch(
      trace.stderr,
      /dist\/(sys|translate|nodes|network)\/|config\/schema|control\/client|cli\/ctl\/|tapster\.node/,
    );
  });
});
