/**
 * A pair of veth devices between two network namespaces of one user namespace: made once, without privilege, and held by
 * a process that sleeps as long as we live.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { complaint, start } from './process.ts';

export const VETH_HOST_ADDRESS = '198.18.1.1';

/** No suite takes so long. */
const LIMIT_MS = 3 * 3_600_000;

/** The outer namespace is the host's; the inner one, which it prints the process of, the guest's. It ends when its input does. */
const SCRIPT = `
set -e
unshare --net sleep infinity &
inner=$!
trap 'kill $inner' EXIT
while [ "$(readlink /proc/$inner/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link set lo up
ip link add host0 mtu 65535 type veth peer name guest0 mtu 65535
ip address add ${VETH_HOST_ADDRESS}/24 dev host0
ip link set guest0 netns $inner
nsenter --net=/proc/$inner/ns/net sh -ec '
  ip link set lo up
  ip address add 198.18.1.2/24 dev guest0
  ip link set guest0 up'
ip link set host0 up
echo $inner
read -r end || true
`;

class Veth {
  #outer: number = 0;
  #inner: number = 0;
  #mtu: number = 65_535;

  /** Makes it. */
  async check(): Promise<{ readonly found: string } | { readonly missing: string }> {
    const holder = start(['unshare', '--user', '--map-root-user', '--net', 'sh', '-c', SCRIPT], LIMIT_MS);
    const first = await Promise.race([once(holder.child.stdout!, 'data'), holder.ended]);
    if (!Array.isArray(first)) return { missing: complaint(first, LIMIT_MS) };
    this.#inner = Number(first[0]);
    this.#outer = holder.child.pid!;
    return { found: '' };
  }

  onHost(words: readonly string[]): readonly string[] {
    return [...enter(this.#outer), ...words];
  }

  /** Both ends must agree on the MTU; it stays until another is wanted. */
  inside(words: readonly string[], mtu: number): readonly string[] {
    if (mtu !== this.#mtu) {
      for (const [process, device] of [
        [this.#outer, 'host0'],
        [this.#inner, 'guest0'],
      ] as const) {
        spawnSync('nsenter', [...enter(process).slice(1), 'ip', 'link', 'set', device, 'mtu', String(mtu)]);
      }
      this.#mtu = mtu;
    }
    return [...enter(this.#inner), ...words];
  }
}

export const veth: Veth = new Veth();

/** The words in front of a command that run it where a process is, as the user that it has there. */
export function enter(process: number): readonly string[] {
  return ['nsenter', '--preserve-credentials', '--user', '--net', '--target', String(process), '--'];
}
