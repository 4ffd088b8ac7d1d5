/** `tapster guest --dgram` with a command that binds the other path, as QEMU does, and nothing else: what is left when they end. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { eventually } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';

/** Takes some time to end, as QEMU does. */
const BINDER = `
use Socket;
my ($path) = join(' ', @ARGV) =~ /local\\.path=([^, ]+)/;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die;
bind($socket, sockaddr_un($path)) or die;
$SIG{TERM} = sub { select(undef, undef, undef, 0.1); exit 3 };
exit 4 if $ARGV[0] eq 'short';
sleep 1 while 1;
`;

/** A process that does nothing else removes them: Tapster waits for it, but not for ever. */
function pathsGo(path: string): Promise<void> {
  return eventually('both paths are gone', () => !existsSync(path) && !existsSync(`${path}.qemu`));
}

describe('datagrams with a command', { skip: whyNoInternet() ?? lacking('perl') }, () => {
  const lab = new Lab('user', {});
  before(() => lab.up());
  after(() => lab.down());

  const start = (path: string, ...words: readonly string[]) =>
    lab.start(['guest', '--dgram', '--socket', path, '-v', '--', 'perl', '-e', BINDER, ...words], { timeoutMs: 0 });

  it('leave no path behind when Tapster is ended, which ends the command', async () => {
    const path = lab.newPath('long.sock');
    const tapster = start(path, 'long');
    await tapster.says(/the guest at .*long\.sock\.qemu is plugged in/);
    tapster.kill('SIGTERM');
    assert.equal((await tapster.ended).status, 143);
    await pathsGo(path);
  });

  it('leave none behind when the command ends, whose status is passed on', async () => {
    const path = lab.newPath('short.sock');
    assert.equal((await start(path, 'short').ended).status, 4);
    await pathsGo(path);
  });

  it('need paths that fit', async () => {
    const path = `${lab.newPath('x')}${'x'.repeat(103)}`.slice(0, 104);
    const { status, stderr } = await start(path, 'short').ended;
    assert.match(stderr, /\.qemu is too long for a socket: 107 bytes are the most/);
    assert.equal(status, 125);
    assert.ok(!existsSync(path));
  });
});
