// covers P17
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AUTO_FORWARDS, type ForwardSpec, NO_FORWARDS } from '../../engine/forward-rules.ts';
import { ForwardCollector, formatForwardSpec } from './forward-spec.ts';

function collect(texts: readonly string[], auto = true): ForwardSpec {
  const collector = new ForwardCollector(auto);
  for (const text of texts) {
    const result = collector.add(text);
    assert.ok(result.ok, result.ok ? '' : `${text}: ${result.wrong}`);
  }
  return collector.finish();
}

/** `ADDR%IF FIRST-LAST > TOADDR:TOPORT`, an `all` with a question mark. */
function show({ rules, auto }: ForwardSpec): string[] {
  const place = (address: unknown, name: string | undefined): string =>
    `${address ?? '*'}${name === undefined ? '' : `%${name}`}`;
  return [
    ...rules.map(
      (rule) =>
        `${place(rule.address, rule.interfaceName)} ${rule.firstPort}-${rule.lastPort}${rule.weak ? '?' : ''}` +
        ` > ${rule.toAddress ?? ''}:${rule.toPort}`,
    ),
    ...auto.map((each) => {
      const except = each.excluded.map(({ first, last }) => ` ~${first}-${last}`).join('');
      return `${place(each.address, each.interfaceName)} auto${except}`;
    }),
  ];
}

describe('ForwardCollector', () => {
  it('takes every form of the grammar', () => {
    const samples: [string, string[]][] = [
      ['none', []],
      ['22', ['* 22-22 > :22']],
      ['022', ['* 22-22 > :22']],
      ['22:2222', ['* 22-22 > :2222']],
      ['22,25', ['* 22-22 > :22', '* 25-25 > :25']],
      ['22,23,24', ['* 22-24 > :22']],
      ['22-80', ['* 22-80 > :22']],
      ['22-80:32-90', ['* 22-80 > :32']],
      ['1-65535', ['* 1-65535 > :1']],
      ['22:192.0.2.9', ['* 22-22 > 192.0.2.9:22']],
      ['22-80:192.0.2.9', ['* 22-80 > 192.0.2.9:22']],
      ['22:192.0.2.9/2222', ['* 22-22 > 192.0.2.9:2222']],
      ['22-23:192.0.2.9/32-33', ['* 22-23 > 192.0.2.9:32']],
      ['22:[2001:db8::9]/2222', ['* 22-22 > 2001:db8::9:2222']],
      ['22:2001:db8::9', ['* 22-22 > 2001:db8::9:22']],
      ['22:::9', ['* 22-22 > ::9:22']],
      ['22:fd00::1/80', ['22:fd00::1 80-80 > :80']],
      ['22:[fd00::1]/80', ['* 22-22 > fd00::1:80']],
      ['21,22:192.0.2.9/2222', ['* 21-21 > :21', '* 22-22 > 192.0.2.9:2222']],
      ['192.0.2.1/22', ['192.0.2.1 22-22 > :22']],
      ['192.0.2.1%eth0/22', ['192.0.2.1%eth0 22-22 > :22']],
      ['192.0.2.1%lo/22', ['192.0.2.1%lo 22-22 > :22']],
      ['%eth0/22', ['*%eth0 22-22 > :22']],
      ['::1/22-24,~23', ['::1 22-22 > :22', '::1 24-24 > :24']],
      ['[::1]/22', ['::1 22-22 > :22']],
      ['fe80::1%eth0/22:[fe80::2]/23', ['fe80::1%eth0 22-22 > fe80::2:23']],
      ['192.0.2.1/22:192.0.2.9/23', ['192.0.2.1 22-22 > 192.0.2.9:23']],
      ['5-25,~10-20', ['* 5-9 > :5', '* 21-25 > :21']],
      ['~10-20,5-25', ['* 5-9 > :5', '* 21-25 > :21']],
      ['5-25:105-125,~10-20', ['* 5-9 > :105', '* 21-25 > :121']],
      ['5,~5', []],
      ['192.0.2.1/20-30,~25', ['192.0.2.1 20-24 > :20', '192.0.2.1 26-30 > :26']],
      ['~25', ['* 1-24? > :1', '* 26-65535? > :26']],
      ['192.0.2.1/~25', ['192.0.2.1 1-24? > :1', '192.0.2.1 26-65535? > :26']],
      ['all', ['* 1-65535? > :1']],
      ['all:192.0.2.9', ['* 1-65535? > 192.0.2.9:1']],
      ['all,80:8080', ['* 1-79? > :1', '* 80-80 > :8080', '* 81-65535? > :81']],
      ['auto', ['* auto']],
      ['auto,~22,~30-31', ['* auto ~22-22 ~30-31']],
      ['auto,80:8080', ['* 80-80 > :8080', '* auto']],
      ['127.0.0.1/auto', ['127.0.0.1 auto']],
    ];
    for (const [text, meaning] of samples) assert.deepEqual(show(collect([text])), meaning, text);
  });

  it('makes one value of several options', () => {
    const samples: [string[], string[]][] = [
      [
        ['80', '22', '23'],
        ['* 22-23 > :22', '* 80-80 > :80'],
      ],
      [
        ['127.0.0.1/80', '127.0.0.2/80:81'],
        ['127.0.0.1 80-80 > :80', '127.0.0.2 80-80 > :81'],
      ],
      [
        ['%eth0/80', '%eth1/80'],
        ['*%eth0 80-80 > :80', '*%eth1 80-80 > :80'],
      ],
      [
        ['0.0.0.0/80', '::/80:81'],
        ['0.0.0.0 80-80 > :80', ':: 80-80 > :81'],
      ],
      [['none', 'none'], []],
      [
        ['auto', '80'],
        ['* 80-80 > :80', '* auto'],
      ],
      [['auto', 'auto,~5'], ['* auto']],
      [['auto,~1-9', 'auto,~5-20'], ['* auto ~5-9']],
      [
        ['80:8080', 'all,~22'],
        ['* 1-21? > :1', '* 23-79? > :23', '* 80-80 > :8080', '* 81-65535? > :81'],
      ],
      [
        ['127.0.0.1/80', '~2-65535'],
        ['* 1-1? > :1', '127.0.0.1 80-80 > :80'],
      ],
      [
        ['127.0.0.1/80', 'all'],
        ['* 1-79? > :1', '* 81-65535? > :81', '127.0.0.1 80-80 > :80'],
      ],
      [['all', 'all'], ['* 1-65535? > :1']],
      [
        ['20-30', '~25-65535'],
        ['* 1-19? > :1', '* 20-30 > :20'],
      ],
    ];
    for (const [texts, meaning] of samples) assert.deepEqual(show(collect(texts)), meaning, String(texts));
  });

  it('refuses with the value that is wrong, and a sentence of what would be right', () => {
    const samples: [string[], RegExp][] = [
      [[''], /no ports/],
      [['x'], /"x" is neither/],
      [['0'], /port 0 is not from 1 to 65535/],
      [['0-10'], /port 0/],
      [['65536'], /port 65536/],
      [['99999999999999999999'], /not from 1/],
      [['22-20'], /22-20 goes backwards/],
      [['22-'], /"22-"/],
      [['-22'], /"-22"/],
      [['0x16'], /"0x16"/],
      [['+22'], /"\+22"/],
      [[' 22'], /" 22"/],
      [[',22'], /a port is missing/],
      [['22,'], /a port is missing/],
      [['22,,23'], /a port is missing/],
      [['22:'], /a port is missing/],
      [['22:23-24'], /"22:23-24" has 1 ports outside and 2 inside/],
      [['22-24:30-31'], /has 3 ports outside and 2 inside/],
      [['22-24:30'], /has 3 ports outside and 1 inside/],
      [['22:70000'], /port 70000/],
      [['22:0'], /port 0/],
      [['22:x'], /"x" is neither a port nor an address/],
      [['22:0.0.0.0'], /0\.0\.0\.0 is nobody's/],
      [['22:224.0.0.1/22'], /224\.0\.0\.1 is nobody's/],
      [['22:192.0.2.9/'], /a port is missing/],
      [['22:192.0.2/22'], /"192\.0\.2" is neither/],
      [['22:23:24'], /"23:24" is neither/],
      [['~'], /a port is missing/],
      [['~22:23'], /"22:23"/],
      [['~all'], /"all"/],
      [['all:22'], /"22" is neither/],
      [['all:'], /"" is neither/],
      [['all,all'], /twice/],
      [['none,22'], /"none" is neither/],
      [['22,none'], /"none" is neither/],
      [['10.0.0.1/none'], /"none" is neither/],
      [['10.0.0.1'], /"10\.0\.0\.1" is neither/],
      [['10.0.0.1/'], /no ports/],
      [['10.0.0/22'], /"10\.0\.0" is not an address/],
      [['/22'], /"" is not an address/],
      [['eth0/22'], /"eth0" is not an address/],
      [['224.0.0.1/22'], /multicast/],
      [['10.0.0.1%/22'], /interface's name "" is not one: empty/],
      [['%interfacewithalongname/22'], /"interfacewithalongname" is not one: 22 bytes/],
      [['10.0.0.1/22:[fd00::1]/22'], /different families/],
      [['fd00::1/all:10.0.0.1'], /different families/],
      [['22,22'], /port 22 is forwarded already/],
      [['22-30,25'], /port 25/],
      [['22', '20-30'], /port 22/],
      [['127.0.0.1/22', '22'], /port 22/],
      [['22', '127.0.0.1/22'], /port 22/],
      [['0.0.0.0/22', '127.0.0.1/22'], /port 22/],
      [['%eth0/22', '127.0.0.1/22'], /port 22/],
      [['none', '22'], /"none" stands beside/],
      [['22', 'none'], /"none" stands beside/],
      [['auto', 'none'], /"none" stands beside/],
      [['all:10.0.0.1', 'all'], /"all" leads elsewhere/],
    ];
    for (const [texts, reason] of samples) {
      const collector = new ForwardCollector(true);
      for (const text of texts.slice(0, -1)) assert.ok(collector.add(text).ok, text);
      const before = collector.finish();
      const result = collector.add(texts.at(-1) as string);
      assert.ok(!result.ok, `${texts} was taken`);
      assert.match(result.wrong, reason, String(texts));
      assert.match(result.right, /^[A-Z].*\.$/);
      assert.deepEqual(collector.finish(), before, 'no trace');
    }
  });

  it('has no "auto" for virtual machines', () => {
    const result = new ForwardCollector(false).add('auto');
    assert.ok(!result.ok);
    assert.match(result.wrong, /"auto" follows/);
  });

  it('is bounded, and quick at its bounds', () => {
    const every2nd = Array.from({ length: 32_768 }, (_, i) => 2 * i + 1).join(',');
    const collector = new ForwardCollector(true);
    assert.ok(collector.add(every2nd).ok);
    assert.equal(collector.finish().rules.length, 32_768);
    assert.ok(!collector.add('2').ok);
    const places = new ForwardCollector(true);
    for (let i = 0; i < 256; i++) assert.ok(places.add(`127.0.1.${i}/22`).ok);
    assert.ok(places.add('127.0.1.9/23').ok);
    const beyond = places.add('127.0.2.1/22');
    assert.ok(!beyond.ok);
    assert.match(beyond.wrong, /more than 256 addresses/);
  });
});

describe('formatForwardSpec', () => {
  it('writes the defaults', () => {
    assert.deepEqual(formatForwardSpec(NO_FORWARDS), ['none']);
    assert.deepEqual(formatForwardSpec(AUTO_FORWARDS), ['auto']);
  });

  const port = fc.integer({ min: 1, max: 60 });
  const address = fc.constantFrom('', '127.0.0.1/', '::1/', '0.0.0.0/', '%eth0/', '::%lo/', '127.0.0.1%lo/');
  const ports = fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  const item = fc.oneof(
    port.map(String),
    ports.map(([a, b]) => `${a}-${b}`),
    fc.tuple(ports, fc.integer({ min: 1, max: 65_000 })).map(([[a, b], to]) => `${a}-${b}:${to}-${to + b - a}`),
    port.map((a) => `${a}:192.0.2.9/${a + 1}`),
    port.map((a) => `${a}:[2001:db8::9]`),
    ports.map(([a, b]) => `~${a}-${b}`),
    fc.constantFrom('all', 'auto', 'all:192.0.2.9'),
  );
  const option = fc
    .tuple(address, fc.array(item, { minLength: 1, maxLength: 4 }))
    .map(([where, items]) => where + items.join(','));

  it('writes what means the same', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(option, { maxLength: 4 }), (texts) => {
        const collector = new ForwardCollector(true);
        for (const text of texts) if (collector.add(text).ok) taken++;
        const spec = collector.finish();
        assert.deepEqual(show(collect(formatForwardSpec(spec))), show(spec));
      }),
      { numRuns: 100 },
    );
    assert.ok(taken > 20, `${taken} options`);
  });

  it('keeps every port in range, once at each place', () => {
    fc.assert(
      fc.property(fc.array(option, { maxLength: 4 }), (texts) => {
        const collector = new ForwardCollector(true);
        for (const text of texts) collector.add(text);
        const { rules } = collector.finish();
        for (const { firstPort, lastPort, toPort } of rules) {
          assert.ok(1 <= firstPort && firstPort <= lastPort && lastPort <= 65_535);
          assert.ok(1 <= toPort && toPort + lastPort - firstPort <= 65_535);
        }
        for (const [i, a] of rules.entries()) {
          for (const b of rules.slice(i + 1)) {
            if (String(a.address) !== String(b.address) || a.interfaceName !== b.interfaceName) continue;
            assert.ok(a.lastPort < b.firstPort || b.lastPort < a.firstPort);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('reads noise without throwing', () => {
    const noise = fc.string({ unit: fc.constantFrom(...'0123456789.:-/[]~,%alutone') });
    fc.assert(fc.property(noise, (text) => void new ForwardCollector(true).add(text)));
  });
});
