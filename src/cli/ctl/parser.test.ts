import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GRAMMAR, usageOf } from './grammar.ts';
import { lineOfWords, readLine } from './line.ts';
import { LINE_END, type LineError } from './parser.ts';

/** What a line means: the command, and what its words say. */
function meaning(text: string): [path: string, entries: Record<string, unknown>] {
  const parsed = GRAMMAR.parse(readLine(text));
  assert.ok(parsed.ok, `${text}: ${JSON.stringify(parsed)}`);
  const entries = parsed.entries.filter(
    ({ name, value }, at) => value !== true || parsed.entries[at + 1]?.name !== name,
  );
  return [parsed.pattern.path, Object.fromEntries(entries.map(({ name, value }) => [name, value]))];
}

function mistake(text: string): LineError {
  const parsed = GRAMMAR.parse(readLine(text));
  assert.ok(!parsed.ok, `${text}: is a command`);
  return parsed.error;
}

function complete(before: string, partial: string): readonly string[] {
  return GRAMMAR.complete(readLine(before), partial).words;
}

/** One line at least of each command, as people would type it. */
const LINES: readonly string[] = [
  'show version',
  'show interface',
  'show interface tap0.100',
  'show interface addr',
  'show interface rx-placement',
  'show hardware-interfaces',
  'show tap tap0',
  'show bridge-domain lan',
  'show l2fib',
  'show ip fib 10.0.0.0/8',
  'show ip6 fib fd00::1',
  'show ip neighbors tap0',
  'show flows protocol tcp limit 10 interface tap0',
  'show runtime',
  'show errors',
  'show threads',
  'show event-log 20',
  'show trace',
  'show pcap',
  'show node names',
  'show configuration',
  `create tap id 0 hw-addr 02:fe:00:00:00:01 if-name uplink0 num-rx-queues 2 num-tx-queues 2 rx-ring-size 512 tx-ring-size 512 host-ns red
    host-bridge br0 host-ip4-addr 10.0.0.2/24 host-ip6-addr fd00::2/64 host-ip4-gw 10.0.0.1 host-ip6-gw fd00::1 host-mac-addr 02:00:00:00:00:01
    host-if-name eth0 host-mtu-size 1400 gso gro-coalesce persist attach tun backend vhost-net`.replace(/\s+/g, ' '),
  'create tap',
  'delete tap tap0',
  'tap connect vpp0 hwaddr random id 7',
  'tap modify tap-0 vpp1 hwaddr 02:fe:00:00:00:01',
  'tap delete tap-0',
  'create stream vm0 socket /run/vm0.sock hw-addr 02:fe:00:00:00:01',
  'delete stream vm0',
  'create datagram vm2 socket vm2.sock peer vm2.qemu',
  'delete datagram vm2',
  'create vhost-user vm1 socket vm1.sock queues 2',
  'delete vhost-user vm1',
  'set tap offload tap0 csum-offload-enable',
  'create sub-interfaces tap0 100',
  'delete sub-interface tap0.100',
  'set interface state tap0 down',
  'set interface mtu 9000 tap0',
  'set interface mac address tap0 02:fe:00:00:00:01',
  'set interface promiscuous on tap0',
  'set interface ip address tap0 10.0.0.1/24',
  'set interface ip address del tap0 10.0.0.1/24',
  'set interface l2 bridge tap0 lan 3',
  'set interface l2 bridge bvi.lan lan bvi',
  'set interface l3 tap0',
  'set interface rx-mode tap0 adaptive',
  'set interface rx-placement tap0 queue 1 worker 0',
  'publish tap0 8080:80',
  'unpublish tap0 8080:80',
  'forward add tap0 8080:80',
  'forward del tap0 8080:80',
  'forward show',
  'create bridge-domain lan learn 1 flood 0 ageing 60',
  'delete bridge-domain lan',
  'set bridge-domain learn lan off',
  'set bridge-domain flood lan on',
  'set bridge-domain ageing lan 0',
  'set uplink host',
  'ip route add 10.1.0.0/16 via 10.0.0.2 tap0 weight 3 via tap1 via uplink',
  'ip route del 10.1.0.0/16',
  'set ip neighbor tap0 10.0.0.2 02:fe:00:00:00:01',
  'set ip neighbor del tap0 10.0.0.2',
  'trace add ip4-lookup 10 filter tcp port 80',
  'clear interfaces',
  'clear runtime',
  'clear errors',
  'clear trace',
  'clear l2fib',
  'clear neighbors',
  'clear event-log',
  'pcap trace rx tx max 100 max-bytes 1000 max-bytes-per-pkt 96 intfc any file /tmp/a.pcapng filter icmp or arp',
  'pcap trace off tap0',
  'pcap trace status',
  'ping fe80::1 source tap0 repeat 3 size 100 interval 0.2',
  'exec lab.ctl',
  'events',
  'help create tap',
  'quit',
  'exit',
];

describe('the grammar', () => {
  it('reads a line of every command', () => {
    const read = new Set(LINES.map((line) => meaning(line)[0]));
    assert.deepEqual(
      GRAMMAR.patterns.map(({ path }) => path).filter((path) => !read.has(path)),
      [],
    );
    for (const line of LINES) assert.ok(line.startsWith(meaning(line)[0]), line);
  });

  it('has no two commands with the same words', () => {
    const usages = GRAMMAR.patterns.map(usageOf);
    assert.equal(new Set(usages).size, usages.length);
  });

  it('takes options in any order, and values as what they are', () => {
    assert.deepEqual(meaning('create tap host-if-name eth0 id 3 num-rx-queues 2'), [
      'create tap',
      { 'host-if-name': 'eth0', id: 3, 'num-rx-queues': 2 },
    ]);
    assert.deepEqual(meaning('ping 10.0.0.1 interval 0.5 repeat 2'), [
      'ping',
      { address: '10.0.0.1', interval: 0.5, repeat: 2 },
    ]);
    assert.deepEqual(meaning('set interface ip address tap0 FD00::0:1/64')[1], {
      interface: 'tap0',
      address: 'fd00::1/64',
    });
  });

  it('accepts words that are begun, where it is clear which is meant', () => {
    assert.equal(meaning('sh int')[0], 'show interface');
    assert.equal(meaning('SH VER')[0], 'show version');
    assert.deepEqual(meaning('set int st tap0 do'), ['set interface state', { interface: 'tap0', down: true }]);
    assert.deepEqual(meaning('cr ta num-r 2')[1], { 'num-rx-queues': 2 });
    assert.deepEqual(mistake('s'), { message: '"s" could be show or set', column: 1, right: 'Write more of it.' });
  });

  it('takes no name for an abbreviation', () => {
    assert.deepEqual(meaning('show interface ad')[1], { interface: 'ad' });
    assert.deepEqual(meaning('ip route add ::/0 via up')[1], { to: '::/0', via: true, interface: 'up' });
    assert.equal(meaning('show interface addr')[0], 'show interface addr');
    assert.deepEqual(meaning('show interface "addr"')[1], { interface: 'addr' });
  });

  it('takes the rest of the line for a filter', () => {
    assert.equal(
      meaning('trace add ip4-lookup 1 filter tcp port 80 and host 10.0.0.1')[1]['filter'],
      'tcp port 80 and host 10.0.0.1',
    );
    assert.equal(meaning(`trace add ip4-lookup 1 filter 'tcp port 80'`)[1]['filter'], 'tcp port 80');
  });

  it('names the word that does not fit, its column, and what was expected', () => {
    assert.deepEqual(mistake('shwo interface'), {
      message: '"shwo" does not fit here: did you mean "show"?',
      column: 1,
      right:
        'Expected "show", "create", "delete", "tap", "set", "publish", "unpublish", "forward", "ip", "trace", "clear", "pcap" or 6 more.',
    });
    assert.deepEqual(mistake('set interface state tap0 upp'), {
      message: '"upp" does not fit here: did you mean "up"?',
      column: 26,
      right: 'Expected "up" or "down".',
    });
    assert.deepEqual(mistake('create tap id 5000'), {
      message: '"5000": above 1024',
      column: 15,
      right: 'Use a whole number from 0 to 1024.',
    });
    assert.deepEqual(mistake('set interface mtu 1500'), {
      message: 'something is missing at the end',
      column: 23,
      right: 'Expected an interface (IF).',
    });
    assert.equal(mistake('show version now').message, '"now" is too much: the command ends before it');
    assert.equal(mistake('ip route add 10.0.0.1/8 via tap0').right, 'Use 10.0.0.0/8.');
    assert.equal(mistake('create tap rx-ring-size 300').right, 'Use 256.');
    assert.equal(mistake('create tap host-ip4-addr 10.0.0.1').right, 'Append it: 10.0.0.1/24.');
    assert.match(mistake('create tap id 1 id 2').message, /"id" does not fit here/);
    assert.match(mistake('pcap trace intfc any').right, /"file"/);
    assert.deepEqual(mistake('exec "lab'), { message: 'the quote is never closed', column: 6, right: 'Close it.' });
  });

  it('knows words of VPP that it has no use for', () => {
    for (const word of ['packed', 'in-order', 'consistent-qp']) {
      const { message, column } = mistake(`create tap ${word}`);
      assert.equal(message, `"${word}" is not supported`);
      assert.equal(column, 12);
    }
    assert.deepEqual(complete('create tap', 'pa'), []);
  });

  it('completes words, and says whose names can stand there', () => {
    assert.deepEqual(complete('', 'un'), ['unpublish']);
    assert.deepEqual(complete('sh', 'in'), ['interface']);
    assert.deepEqual(complete('create tap id 0', 'host-ip'), [
      'host-ip4-addr',
      'host-ip4-gw',
      'host-ip6-addr',
      'host-ip6-gw',
    ]);
    assert.deepEqual(complete('create tap host-ip4-gw 10.0.0.1', 'host-ip4'), ['host-ip4-addr']);
    assert.deepEqual(complete('set interface state tap0', ''), ['down', 'up']);
    assert.deepEqual(complete('nothing such', ''), []);
    assert.deepEqual(GRAMMAR.complete(readLine('set interface l2 bridge'), 't').sources, ['interface']);
    assert.deepEqual(GRAMMAR.complete(readLine('set interface l2 bridge tap0'), '').sources, ['bridge']);
    assert.deepEqual(GRAMMAR.complete(readLine('trace add'), '').sources, ['node']);
    assert.deepEqual(GRAMMAR.complete(readLine('exec'), '').sources, ['file']);
  });

  it('says what can be next', () => {
    assert.deepEqual(GRAMMAR.next(readLine('set interface l2'), ''), [
      { label: 'bridge', help: 'make it a member of a bridge, or our own leg in one' },
    ]);
    assert.deepEqual(GRAMMAR.next(readLine('show interface'), ''), [
      { label: 'IF', help: 'an interface: tap0, tap0.100 or bvi.lan' },
      { label: 'addr', help: 'our addresses' },
      { label: 'rx-placement', help: 'queues, and the workers that serve them' },
      { label: LINE_END, help: 'do it' },
    ]);
    const all = GRAMMAR.next(readLine(''), '');
    assert.ok(Array.isArray(all) && all.every(({ help }) => help !== ''));
    assert.equal((GRAMMAR.next(readLine('shwo'), '') as LineError).column, 1);
  });

  it('has help for every word that can stand anywhere', () => {
    for (const { path } of GRAMMAR.patterns) {
      const words = path.split(' ');
      for (let count = 0; count <= words.length; count++) {
        const next = GRAMMAR.next(readLine(words.slice(0, count).join(' ')), '');
        assert.ok(Array.isArray(next));
        for (const { label, help } of next) assert.ok(help.length > 1, `${path}: ${label}`);
      }
    }
  });

  it('ends with any line', () => {
    const words = GRAMMAR.patterns.flatMap((pattern) => usageOf(pattern).split(/[\s[\]()|]+/));
    const word = fc.oneof(
      fc.constantFrom(...words, 'tap0', '10.0.0.1', '7', '"', '#', '--json'),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (list) => {
        const parsed = GRAMMAR.parse(readLine(list.join(' ')));
        if (!parsed.ok) assert.ok(parsed.error.column >= 1);
      }),
    );
  });
});

describe('a line', () => {
  it('has words, quotes, comments and --json', () => {
    const line = readLine(`  exec "my file"  'a'b # and so on`);
    assert.deepEqual(line.words, [
      { text: 'exec', column: 3, quoted: false },
      { text: 'my file', column: 8, quoted: true },
      { text: 'ab', column: 19, quoted: true },
    ]);
    assert.deepEqual(readLine('# nothing').words, []);
    const json = readLine('show --json tap');
    assert.deepEqual([json.json, json.words.map(({ text }) => text)], [true, ['show', 'tap']]);
  });

  it('comes from a shell in words, or as one', () => {
    assert.equal(lineOfWords(['show interface']).words.length, 2);
    const words = lineOfWords(['exec', 'my file', '--json']);
    assert.deepEqual(words.words[1], { text: 'my file', column: 6, quoted: true });
    assert.equal(words.json, true);
  });
});
