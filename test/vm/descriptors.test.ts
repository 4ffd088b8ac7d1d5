/**
 * `tapster guest --fd` with a real machine in QEMU: both are given the ends of a pair of sockets by who starts them, as a program that manages machines does. Streams and datagrams,
 * in QEMU's newer words and in its older ones.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { endAll, eventually } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { CHECKOUT } from '../support/netns/user.ts';
import { type Image, Machine, qemuWords, vmImage } from './machine.ts';

const lacks = whyNoInternet() ?? lacking('perl');
const image = typeof lacks === 'string' ? lacks : vmImage();
const skip = typeof image === 'string' ? image : false;

/** One pair each: its type, and how QEMU is told of its end. */
const WAYS = [
  ['stream', 'stream,server=off,addr.type=fd,addr.str='],
  ['stream', 'socket,fd='],
  ['dgram', 'dgram,local.type=fd,local.str='],
  ['dgram', 'socket,fd='],
] as const;
const FIRST_END = 10;

/**
 * Makes pairs of sockets, and starts Tapster for each of them, with its end as descriptor 9, and the other program with all other ends, from 10 on. When that has ended it tells those with datagrams to
 * end as well, and prints what became of each: `ended STATUS...`.
 *
 *     TYPE,TYPE... TAPSTER... -- QEMU...
 */
const MANAGER = `
use Socket; use POSIX;
$^F = 99;
my ($types, @words) = @ARGV;
my ($behind) = grep { $words[$_] eq '--' } 0 .. $#words;
my @tapster = @words[0 .. $behind - 1];
my (@pids, @ends);
for my $type (split /,/, $types) {
  socketpair(my $ours, my $theirs, AF_UNIX, $type eq 'dgram' ? SOCK_DGRAM : SOCK_STREAM, 0) or die;
  # Out of the way of the numbers that they get.
  my ($end, $other) = map { fcntl($_, F_DUPFD, 40) } $ours, $theirs;
  close $ours; close $theirs;
  my $pid = fork;
  if ($pid == 0) {
    POSIX::dup2($end, 9);
    POSIX::close($_) for $end, $other, map { $_->[0] } @ends;
    exec @tapster;
  }
  POSIX::close($end);
  push @pids, [$pid, $type];
  push @ends, [$other];
}
my $pid = fork;
if ($pid == 0) {
  POSIX::dup2($ends[$_][0], ${FIRST_END} + $_) for 0 .. $#ends;
  POSIX::close($_->[0]) for @ends;
  exec @words[$behind + 1 .. $#words];
}
POSIX::close($_->[0]) for @ends;
waitpid $pid, 0;
print STDERR 'ended', (map {
  kill 'TERM', $_->[0] if $_->[1] eq 'dgram' && $words[$behind + 1] ne 'true';
  waitpid $_->[0], 0;
  ' ' . ($? >> 8)
} @pids), "\n";
`;

describe('a virtual machine that is given an end of a pair of sockets', { skip }, () => {
  const lab = new Lab('root', {});
  before(() => lab.up());
  after(async () => {
    await endAll();
    await lab.down();
  });

  it('is plugged in by streams and datagrams, as -netdev stream, dgram, and socket', async () => {
    const devices = WAYS.flatMap(([, netdev], index) => [
      ...['-netdev', `${netdev}${FIRST_END + index},id=n${index}`],
      ...['-device', `virtio-net-pci,netdev=n${index},addr=${0x10 + index}`],
    ]);
    // Who kills the manager kills all.
    const die = ['setpriv', '--pdeathsig', 'KILL'];
    const programs = [...die, ...tapster('--fd', '9', '-v'), '--', ...die, ...qemuWords(image as Image), ...devices];
    const types = WAYS.map(([type]) => type).join(',');
    const manager = lab.onHost(['perl', '-e', MANAGER, types, ...programs], { timeoutMs: 0, keepInput: true });
    const vm = new Machine(manager);
    await vm.booted();
    // Started beside the machine, which may be faster.
    const isPluggedIn = (): boolean => manager.stderr.match(/pid \d+ \(perl\) is plugged in/g)?.length === WAYS.length;
    await eventually('it is plugged in everywhere', isPluggedIn);
    for (const [index, [type, netdev]] of WAYS.entries()) {
      const lease = await vm.run(
        `ip link set eth${index} up; udhcpc -i eth${index} -n -q -t 20 -T 1 -s /lease 2>/dev/null`,
      );
      assert.match(lease, new RegExp(`^lease ${PLACES.host[4]}/24`, 'm'), `${type}: ${netdev}`);
      const ping = await vm.run(`ping -c 1 -s 3000 ${PLACES.server[4]}; ip link set eth${index} down`);
      assert.match(ping, /1 packets received/, `${type}: ${netdev}`);
    }
    await vm.powerOff();
    assert.match(manager.stderr, /^ended 0 0 143 143$/m);
  });

  it('is none where the descriptor does not fit, which Tapster says', async () => {
    const alone = `use Socket; use POSIX; $^F = 99; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); POSIX::dup2(fileno $s, 9); exec @ARGV`;
    const pair = (type: string): string[] => ['perl', '-e', MANAGER, type];
    for (const [words, message] of [
      [['sh', '-c', '"$@" 9</dev/null', 'sh', ...tapster('--fd', '9')], /--fd 9: is open, but is no socket/],
      [['perl', '-e', alone, ...tapster('--fd', '9')], /--fd 9 is a datagram socket that is not connected/],
      [
        [...pair('stream'), ...tapster('--fd', '9', '--dgram'), '--', 'true'],
        /--fd 9 is a stream socket: leave --dgram out/,
      ],
      [
        [...pair('dgram'), ...tapster('--fd', '9', '--vhost-user'), '--', 'true'],
        /--fd 9 is a datagram socket, and vhost/,
      ],
    ] as const) {
      const { stderr } = await lab.onHost(words).ended;
      assert.match(stderr, message);
    }
  });
});

function tapster(...flags: readonly string[]): string[] {
  return [process.execPath, join(CHECKOUT, 'dist/cli/main.js'), 'guest', ...flags];
}
