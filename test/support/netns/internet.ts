/**
 * A small internet out of network namespaces:
 *
 *     host  10.99.0.2/24, fd99::2/64      where Tapster runs; its default route leads to
 *     net   10.99.0.1/24, fd99::1/64      the servers, at 198.51.100.1, .2, 2001:db8:51::1 and ::2; behind it
 *     mid   10.99.1.2/24, fd99:1::2/64    a router to
 *     far   203.0.113.9, 2001:db8:113::9  three hops from the guest
 *
 * What else a guest may meet, in both families: addresses that swallow packets, and others that send errors back (see `PLACES`).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';

const PREFIX = 'tapster-test-';
const NETNS_FOLDER = '/run/netns';

export const PLACES = {
  host: { 4: '10.99.0.2', 6: 'fd99::2' },
  gateway: { 4: '10.99.0.1', 6: 'fd99::1' },
  server: { 4: '198.51.100.1', 6: '2001:db8:51::1' },
  otherServer: { 4: '198.51.100.2', 6: '2001:db8:51::2' },
  router: { 4: '10.99.1.2', 6: 'fd99:1::2' },
  far: { 4: '203.0.113.9', 6: '2001:db8:113::9' },
  /** Packets vanish. */
  filtered: { 4: '192.0.2.1', 6: '2001:db8:dead::1' },
  /** ICMP: host unreachable. */
  unreachable: { 4: '192.0.2.2', 6: '2001:db8:dead:2::1' },
  /** ICMP: administratively prohibited. */
  prohibited: { 4: '192.0.2.3', 6: '2001:db8:dead:3::1' },
  /** ICMP: no route. */
  nowhere: { 4: '192.0.2.4', 6: '2001:db8:beef::1' },
} as const;

export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];

export interface InternetOptions {
  /** False: the host has no IPv6 at all. */
  readonly ipv6?: boolean;
  /** False: the host has addresses, and no way to anywhere. */
  readonly defaultRoute?: boolean;
  /** Buffers of TCP sockets on the host and in the net are at most this large: a slow reader is felt at once. */
  readonly socketBufferBytesMax?: number;
}

/** Why there can be no such internet here; undefined: there can. */
export function whyNoInternet(): string | undefined {
  if (process.getuid!() !== 0) return 'needs root, to make network namespaces; run the tests as root';
  const name = `${PREFIX}${process.pid}-probe`;
  const added = ip('netns', 'add', name);
  if (added !== '') return `network namespaces can not be made here: ${added}`;
  ip('netns', 'del', name);
  return undefined;
}

let made = 0;

export class Internet {
  readonly host: string;
  readonly net: string;
  readonly #names: readonly string[];
  readonly #configFolder: string;

  constructor(options: InternetOptions) {
    removeLeftovers();
    const name = `${PREFIX}${process.pid}-${made++}`;
    this.host = `${name}-host`;
    this.net = `${name}-net`;
    this.#names = [this.host, this.net, `${name}-mid`, `${name}-far`];
    this.#configFolder = `/etc/netns/${this.host}`;
    mkdirSync(this.#configFolder, { recursive: true });
    this.setResolvConf('nameserver 10.99.0.1\nsearch example.test\n');
    const result = spawnSync('sh', ['-c', script(options), 'sh', ...this.#names], { encoding: 'utf8' });
    if (result.status !== 0) {
      this.remove();
      throw new Error(`no internet: ${result.stderr}`);
    }
  }

  /** The host's /etc/resolv.conf, for programs that are started with `in`. */
  setResolvConf(text: string): void {
    writeFileSync(`${this.#configFolder}/resolv.conf`, text);
  }

  /** Words that run a program in a namespace. */
  in(namespace: string): readonly string[] {
    return ['ip', 'netns', 'exec', namespace];
  }

  remove(): void {
    for (const name of this.#names) removeNamespace(name);
    rmSync(this.#configFolder, { recursive: true, force: true });
  }
}

/** Namespaces of test processes that were killed before they could clean up. */
function removeLeftovers(): void {
  let names: string[] = [];
  try {
    names = readdirSync(NETNS_FOLDER);
  } catch {
    // No namespace has been made on this machine yet.
  }
  for (const name of names) {
    const pid = Number(name.match(/^tapster-test-(\d+)-/)?.[1] ?? process.pid);
    if (isAlive(pid)) continue;
    removeNamespace(name);
    rmSync(`/etc/netns/${name}`, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** With whatever still runs in it. */
function removeNamespace(name: string): void {
  const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  for (const pid of pids) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  ip('netns', 'del', name);
}

function ip(...words: string[]): string {
  const result = spawnSync('ip', words, { encoding: 'utf8' });
  return result.error?.message ?? result.stderr.trim();
}

/** Errors that routers send are not limited: a test may ask for many at once. */
function script(options: InternetOptions): string {
  const { ipv6 = true, defaultRoute = true, socketBufferBytesMax: buffer } = options;
  const six = ipv6 ? '' : '#';
  const route = defaultRoute ? '' : '#';
  return `
set -e
host=$1 net=$2 mid=$3 far=$4
for ns in "$@"; do
  ip netns add $ns
  ip -n $ns link set lo up
  ip netns exec $ns sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \\
    net.ipv6.conf.default.accept_ra=0 net.ipv4.ping_group_range="0 2147483647" net.ipv4.ip_unprivileged_port_start=0 \\
    net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
done
${buffer === undefined ? '#' : ''}for ns in $host $net; do ip netns exec $ns sysctl -qw net.ipv4.tcp_rmem="4096 65536 ${buffer}" net.ipv4.tcp_wmem="4096 65536 ${buffer}"; done
join() { # NS1 NAME1 NS2 NAME2 SUBNET4 SUBNET6: two namespaces, .1 and .2 in the subnets
  ip link add $2 netns $1 type veth peer name $4 netns $3
  ip -n $1 addr add $5.1/24 dev $2; ip -n $3 addr add $5.2/24 dev $4
  ip -n $1 addr add $6::1/64 dev $2 nodad; ip -n $3 addr add $6::2/64 dev $4 nodad
  ip -n $1 link set $2 up; ip -n $3 link set $4 up
}
join $net eth0 $host eth0 10.99.0 fd99
join $net eth1 $mid eth0 10.99.1 fd99:1
join $mid eth1 $far eth0 10.99.2 fd99:2
ip netns exec $net sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip netns exec $mid sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for each in ${PLACES.server[4]}/32 ${PLACES.otherServer[4]}/32; do ip -n $net addr add $each dev lo; done
for each in ${PLACES.server[6]}/128 ${PLACES.otherServer[6]}/128; do ip -n $net addr add $each dev lo nodad; done
ip -n $far addr add ${PLACES.far[4]}/32 dev lo; ip -n $far addr add ${PLACES.far[6]}/128 dev lo nodad
ip -n $net route add ${PLACES.far[4]} via 10.99.1.2; ip -n $mid route add ${PLACES.far[4]} via 10.99.2.2
ip -n $net -6 route add ${PLACES.far[6]} via fd99:1::2; ip -n $mid -6 route add ${PLACES.far[6]} via fd99:2::2
ip -n $mid route add default via 10.99.1.1; ip -n $mid -6 route add default via fd99:1::1
ip -n $far route add default via 10.99.2.1; ip -n $far -6 route add default via fd99:2::1
ip -n $net route add blackhole ${PLACES.filtered[4]}; ip -n $net -6 route add blackhole ${PLACES.filtered[6]}
ip -n $net route add unreachable ${PLACES.unreachable[4]}; ip -n $net -6 route add unreachable ${PLACES.unreachable[6]}
ip -n $net route add prohibit ${PLACES.prohibited[4]}; ip -n $net -6 route add prohibit ${PLACES.prohibited[6]}
${ipv6 ? '#' : ''}ip netns exec $host sysctl -qw net.ipv6.conf.all.disable_ipv6=1
${route}ip -n $host route add default via 10.99.0.1
${route}${six}ip -n $host -6 route add default via fd99::1
`;
}
