/**
 * Where measurements take place. Peers of Tapster are made for ordinary users, and so is Tapster: everything is run by one.
 *
 * Who starts the suite as root gets a stage: a network namespace with a loopback, and an interface with a default route for those that insist on one; `/dev/net/tun` open to
 * everybody in a mount namespace of its own; and a user without privilege. An ordinary user measures right on the host.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Where the stage's default route leads (RFC 2544: addresses set aside for benchmarks). Nobody is there. */
export const STAGE_GATEWAY = '198.18.0.1';

/** nobody and nogroup of Debian. */
const NOBODY = '65534';

const SCRIPT = `
set -e
mount -t tmpfs -o mode=755,dev stage /dev/net
mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
ip link add eth0 type veth peer name wire0
ip address add 198.18.0.2/24 dev eth0
ip address add 2001:2::2/64 dev eth0 nodad
ip link set wire0 up
ip link set eth0 up
ip route add default via ${STAGE_GATEWAY} dev eth0
ip -6 route add default via 2001:2::1 dev eth0
cd /
exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups --inh-caps=-all --bounding-set=-all -- "$@"
`;

/** The words that run `words` on a stage, or just these where there is none; and whether that is as an ordinary user. */
export function onStage(words: readonly string[]): {
  readonly words: readonly string[];
  readonly ordinaryUser: boolean;
} {
  if (process.getuid?.() !== 0) return { words, ordinaryUser: true };
  const staged = ['unshare', '--mount', '--net', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh'];
  const script = words.find((word) => existsSync(word) && word.endsWith('.js')) ?? '/';
  const tried = spawnSync(staged[0]!, [...staged.slice(1), 'test', '-r', script], { encoding: 'utf8' });
  if (tried.status === 0) return { words: [...staged, ...words], ordinaryUser: true };
  return { words, ordinaryUser: false };
}
