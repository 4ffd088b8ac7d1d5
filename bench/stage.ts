/**
 * Where measurements take place. Peers of Tapster are made for ordinary users, and so is Tapster: everything is run by
 * one.
 *
 * Who starts the suite as root gets a stage: a network namespace with a loopback, and an interface with a default route
 * for those that insist on one; `/dev/net/tun` open to everybody in a mount namespace of its own; and a user without
 * privilege. An ordinary user measures right on the host.
 */
import { spawnSync } from 'node:child_process';

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

/**
 * The words that run `words` (Node and a script) on a stage; just these, where there is no need of one or nobody but
 * root can read the script.
 */
export function onStage(words: readonly string[]): readonly string[] {
  if (process.getuid?.() !== 0) return words;
  const [program = '', ...args] = ['unshare', '--mount', '--net', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh'];
  const readable = spawnSync(program, [...args, 'test', '-r', words[1] ?? '']);
  return readable.status === 0 ? [program, ...args, ...words] : words;
}
