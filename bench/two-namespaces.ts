/**
 * Two network namespaces, red and blue, of one user namespace: made once, without privilege, and held by a process that
 * sleeps as long as we live. What is between them is made for each measurement, but for what somebody with privilege would
 * have: a bridge of Linux's in a third namespace, the yard, with a pair of veth devices to each.
 */
import { once } from 'node:events';
import { complaint, start } from './process.ts';
import { enter } from './veth.ts';

/** What blue has behind the Linux bridge; red is its neighbour. */
export const BLUE_VETH_ADDRESS = '198.18.2.3';

/** No suite takes so long. */
const LIMIT_MS = 3 * 3_600_000;

/** No IPv6: its router solicitations would be among the frames. Prints the processes that hold red and blue. */
const SCRIPT = `
set -e
unshare --net sleep infinity &
red=$!
unshare --net sleep infinity &
blue=$!
trap 'kill $red $blue' EXIT
for each in $red $blue; do
  while [ "$(readlink /proc/$each/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
done
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
join() {
  ip link add port$2 type veth peer name wire0
  ip link set wire0 netns $1
  ip link set port$2 master br0 up
  nsenter --net=/proc/$1/ns/net sh -ec "
    echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
    ip link set lo up
    ip address add 198.18.2.$2/24 dev wire0
    ip link set wire0 up"
}
join $red 2
join $blue 3
echo $red $blue
read -r end || true
`;

export interface TwoNamespaces {
  /** A process in the yard. */
  readonly yard: number;
  /** Processes in red and in blue. */
  readonly red: number;
  readonly blue: number;
}

let made: Promise<TwoNamespaces | { readonly failed: string }> | undefined;

/** Makes them, the first time. */
export function twoNamespaces(): Promise<TwoNamespaces | { readonly failed: string }> {
  made ??= make();
  return made;
}

/** The words that run a command in the network namespace of a process, one of the above. */
export function inside(process: number, words: readonly string[]): readonly string[] {
  return [...enter(process), ...words];
}

async function make(): Promise<TwoNamespaces | { readonly failed: string }> {
  const holder = start(['unshare', '--user', '--map-root-user', '--net', 'sh', '-c', SCRIPT], LIMIT_MS);
  const first = await Promise.race([once(holder.child.stdout!, 'data'), holder.ended]);
  if (!Array.isArray(first)) return { failed: complaint(first, LIMIT_MS) };
  const [red = 0, blue = 0] = String(first[0]).trim().split(' ').map(Number);
  return { yard: holder.child.pid!, red, blue };
}
