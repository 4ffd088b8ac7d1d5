import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress } from '../base/address.ts';
import { parseResolvConf, type ResolvConf, readResolvConf, renderResolvConf, watchResolvConf } from './resolv-conf.ts';

const CHANGE_TIMEOUT_MS = 60_000;

const indices = new Map([['eth0', 2]]);

test('a file as systemd-resolved writes it', () => {
  const text = [
    '# This is /run/systemd/resolve/stub-resolv.conf managed by man:systemd-resolved(8).',
    '',
    'nameserver 127.0.0.53',
    'options edns0 trust-ad',
    'search corp.example example.org',
    '',
  ].join('\n');
  assert.deepEqual(summary(parse(text)), {
    nameservers: ['127.0.0.53%0'],
    search: ['corp.example', 'example.org'],
    options: ['edns0', 'trust-ad'],
  });
});

test('scopes of link-local servers are indices, or names of interfaces', () => {
  const text =
    'nameserver fe80::1%eth0\nnameserver fe80::2%7\nnameserver fe80::3%gone0\nnameserver fe80::4%eth0%eth0\n';
  assert.deepEqual(summary(parse(text)).nameservers, ['fe80::1%2', 'fe80::2%7']);
});

test('of search and domain the last one counts', () => {
  assert.deepEqual(parse('search a.example\ndomain b.example ignored\n').search, ['b.example']);
  assert.deepEqual(parse('domain b.example\nsearch a.example c.example').search, ['a.example', 'c.example']);
});

test('what is not understood is passed over', () => {
  const text =
    '; comment\n# nameserver 1.1.1.1\nnameserver\nnameserver one\nnameserver 192.0.2.53 # tail\r\nsortlist 1.2.3.4\nsearch ok.example ;rm "x" a..b\noptions ndots:2 $(x)\n';
  assert.deepEqual(summary(parse(text)), {
    nameservers: ['192.0.2.53%0'],
    search: ['ok.example'],
    options: ['ndots:2'],
  });
});

test('a file that names no server, or is not there, means one on the machine itself', () => {
  assert.deepEqual(summary(parse('search a.example')).nameservers, ['127.0.0.1%0']);
  assert.deepEqual(summary(readResolvConf('/nonexistent/resolv.conf')).nameservers, ['127.0.0.1%0']);
});

test('finds the interface of a zone', (t) => {
  const linkLocal = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.filter((each) => each.family === 'IPv6' && each.scopeid > 0).map((each) => ({ name, ...each })),
  );
  const [first] = linkLocal as { name: string; scopeid: number }[];
  if (first === undefined) return t.skip('no interface has a link-local address');
  const path = join(mkdtempSync(join(tmpdir(), 'tapster-zone-')), 'resolv.conf');
  t.after(() => rmSync(dirname(path), { recursive: true }));
  writeFileSync(path, `nameserver fe80::1%${first.name}\nnameserver fe80::2%no-such-interface\n`);
  assert.deepEqual(summary(readResolvConf(path)).nameservers, [`fe80::1%${first.scopeid}`]);
});

test('everything is bounded', () => {
  const conf = parse(
    `${'nameserver 10.0.0.1\n'.repeat(100)}search ${'a.example '.repeat(100)}\noptions ${'x '.repeat(100)}\n`,
  );
  assert.deepEqual([conf.nameservers.length, conf.search.length, conf.options.length], [8, 32, 32]);
});

test('what is written is read again', () => {
  const addresses = ['192.0.2.53', '2001:db8::53'].map((text) => parseIpAddress(text)!);
  const text = renderResolvConf(addresses, ['a.example', 'b.example'], ['ndots:2']);
  assert.equal(text, 'nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\noptions ndots:2\n');
  assert.deepEqual(summary(parse(text)), {
    nameservers: ['192.0.2.53%0', '2001:db8::53%0'],
    search: ['a.example', 'b.example'],
    options: ['ndots:2'],
  });
});

test('any text gives a configuration that can be written again', () => {
  const word = fc.oneof(
    fc.constantFrom('nameserver', 'search', 'domain', 'options', '1.2.3.4', 'a.b', '\n', '\t', '%'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      const conf = parse(words.join(' '));
      assert.ok(conf.nameservers.length >= 1);
      const written = renderResolvConf(
        conf.nameservers.map((each) => each.address),
        conf.search,
        conf.options,
      );
      assert.deepEqual([parse(written).search, parse(written).options], [conf.search, conf.options]);
    }),
  );
});

test('changes of the file are told: written, replaced, and where a link leads to another', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-'));
  const path = join(folder, 'etc', 'resolv.conf');
  mkdirSync(join(folder, 'etc'));
  mkdirSync(join(folder, 'run'));
  writeFileSync(join(folder, 'run', 'one'), 'nameserver 10.0.0.1\n');
  writeFileSync(join(folder, 'run', 'two'), 'nameserver 10.0.0.2\n');
  symlinkSync('../run/one', path);
  let told: (conf: ResolvConf) => void = () => undefined;
  const watcher = watchResolvConf((conf) => told(conf), path);
  t.after(() => {
    watcher.close();
    rmSync(folder, { recursive: true });
  });
  const after = async (change: () => void): Promise<string[]> => {
    // Nothing else keeps the test alive: the watcher does not.
    let timer: NodeJS.Timeout | undefined;
    const next = new Promise<ResolvConf>((resolve, reject) => {
      told = resolve;
      timer = setTimeout(() => reject(new Error('the change was not told')), CHANGE_TIMEOUT_MS);
    });
    change();
    const conf = await next;
    clearTimeout(timer);
    return summary(conf).nameservers;
  };
  assert.deepEqual(await after(() => writeFileSync(join(folder, 'run', 'one'), 'nameserver 10.0.0.3\n')), [
    '10.0.0.3%0',
  ]);
  const relink = (): void => {
    symlinkSync('../run/two', `${path}.new`);
    renameSync(`${path}.new`, path);
  };
  assert.deepEqual(await after(relink), ['10.0.0.2%0']);
  const replace = (): void => {
    writeFileSync(join(folder, 'run', 'two.new'), 'nameserver 10.0.0.4\n');
    renameSync(join(folder, 'run', 'two.new'), join(folder, 'run', 'two'));
  };
  assert.deepEqual(await after(replace), ['10.0.0.4%0']);
});

function parse(text: string): ResolvConf {
  return parseResolvConf(text, (name) => indices.get(name));
}

function summary(conf: ResolvConf): { nameservers: string[]; search: readonly string[]; options: readonly string[] } {
  return {
    nameservers: conf.nameservers.map(({ address, scopeId }) => `${address}%${scopeId}`),
    search: conf.search,
    options: conf.options,
  };
}

test('a change before anybody watched is told too, where what is known is said', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'resolv-conf-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'resolv.conf');
  writeFileSync(path, 'nameserver 10.0.0.1\n');
  const known = readResolvConf(path);
  writeFileSync(path, 'nameserver 10.0.0.2\n');
  const hangs = setTimeout(() => assert.fail('the change was not told'), CHANGE_TIMEOUT_MS);
  const told = await new Promise<ResolvConf>((resolve) => {
    const watcher = watchResolvConf(resolve, path, known);
    t.after(() => watcher.close());
  });
  clearTimeout(hangs);
  assert.deepEqual(summary(told).nameservers, ['10.0.0.2%0']);
});
