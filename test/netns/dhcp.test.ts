/** Programs inside that configure an interface themselves, from DHCP, DHCPv6 and router advertisements, with --no-config. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, type Lab, type Ran, report } from '../support/netns/lab.ts';
import { lacking } from '../support/netns/programs.ts';

/** Clients set up interfaces: they are root inside, whoever the user is. */
const OPTIONS = ['--root', '--no-config', '--mtu', '9000'];

/** What the clients' own scripts do, but that resolv.conf goes to a folder of the test's. */
const DHCLIENT_SCRIPT = `#!/bin/sh
case $reason in
BOUND)
  ip link set "$interface" mtu "$new_interface_mtu"
  ip addr add "$new_ip_address/$new_subnet_mask" dev "$interface"
  for router in $new_routers; do ip route add default via "$router" dev "$interface"; done
  for server in $new_domain_name_servers; do echo "nameserver $server"; done > FOLDER/resolv.conf
  echo "search $new_domain_search" | sed 's/\\.$//' >> FOLDER/resolv.conf
  env > FOLDER/environment ;;
BOUND6)
  ip -6 addr add "$new_ip6_address/$new_ip6_prefixlen" dev "$interface" nodad
  for server in $new_dhcp6_name_servers; do echo "nameserver $server"; done > FOLDER/resolv.conf
  env > FOLDER/environment ;;
esac
exit 0
`;

const UDHCPC_SCRIPT = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip link set "$interface" mtu "$mtu"
ip addr add "$ip/$mask" dev "$interface"
for each in $router; do ip route add default via "$each" dev "$interface"; done
for each in $dns; do echo "nameserver $each"; done > FOLDER/resolv.conf
env > FOLDER/environment
`;

inLab('clients inside', (lab) => {
  // covers P10
  it('dhclient gets an IPv4 address, a route, an MTU and a resolver', { skip: lacking('dhclient') }, async () => {
    const { folder, script } = prepare(lab, DHCLIENT_SCRIPT);
    const ran = await configure(
      lab,
      `dhclient -4 -1 -q -sf ${script} -lf ${folder}/leases -pf ${folder}/pid eth0`,
      PLACES.server[4],
    );
    assert.match(ran.stdout, new RegExp(`inet ${PLACES.host[4]}/24 `), ran.stdout + ran.stderr);
    assert.match(ran.stdout, /^default via 10\.99\.0\.1 dev eth0/m);
    assert.match(ran.stdout, /mtu 9000/);
    assert.match(ran.stdout, /"answer":"hello"/);
    assert.match(readFileSync(`${folder}/resolv.conf`, 'utf8'), /^nameserver 169\.254\.1\.53\nsearch example\.test$/m);
  });

  it('udhcpc gets an IPv4 address, a route, an MTU and a resolver', { skip: lacking('udhcpc') }, async () => {
    const { folder, script } = prepare(lab, UDHCPC_SCRIPT);
    const ran = await configure(lab, `udhcpc -i eth0 -f -n -q -O mtu -s ${script}`, PLACES.server[4]);
    assert.match(ran.stdout, new RegExp(`inet ${PLACES.host[4]}/24 `), ran.stdout + ran.stderr);
    assert.match(ran.stdout, /^default via 10\.99\.0\.1 dev eth0/m);
    assert.match(ran.stdout, /mtu 9000/);
    assert.match(ran.stdout, /"answer":"hello"/);
    assert.match(readFileSync(`${folder}/resolv.conf`, 'utf8'), /^nameserver 169\.254\.1\.53$/m);
  });

  // covers P9
  it('the kernel makes an IPv6 address and a route from router advertisements', async () => {
    const ran = await configure(
      lab,
      `until ip -6 route show default | grep -q . && ip -6 addr show dev eth0 scope global | grep -q inet6; do sleep 0.05; done`,
      PLACES.server[6],
    );
    assert.match(ran.stdout, /inet6 fd99::[0-9a-f:]+\/64 scope global/, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /^default via fe80::\S+ dev eth0 proto ra/m);
    assert.match(ran.stdout, /"answer":"hello"/);
  });

  // covers P11
  it("dhclient gets the host's IPv6 address and a resolver", { skip: lacking('dhclient') }, async () => {
    const { folder, script } = prepare(lab, DHCLIENT_SCRIPT);
    const ran = await configure(
      lab,
      `dhclient -6 -1 -q -sf ${script} -lf ${folder}/leases -pf ${folder}/pid eth0; until ip -6 route show default | grep -q .; do sleep 0.05; done`,
      PLACES.server[6],
    );
    assert.match(ran.stdout, new RegExp(`inet6 ${PLACES.host[6]}/`), ran.stdout + ran.stderr);
    assert.match(ran.stdout, /"answer":"hello"/);
    assert.match(readFileSync(`${folder}/resolv.conf`, 'utf8'), /^nameserver fd74:6170:7374:6572::53$/m);
  });

  it('without a client the interface has no address but the link-local one', async () => {
    const ran = await lab.run(['--no-config', '-4'], ['ip', '-j', 'addr', 'show', 'dev', 'eth0']);
    const [link] = report(ran) as unknown as { addr_info: { scope: string }[]; flags: string[] }[];
    assert.ok(link!.flags.includes('UP'));
    assert.deepEqual(
      link!.addr_info.filter(({ scope }) => scope !== 'link'),
      [],
    );
  });
});

function prepare(lab: Lab, script: string): { folder: string; script: string } {
  const folder = lab.newPath('client');
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const path = `${folder}/script`;
  writeFileSync(path, script.replaceAll('FOLDER', folder), { mode: 0o755 });
  return { folder, script: path };
}

/** Runs the client, shows what it has made of the interface, and talks to a server. */
function configure(lab: Lab, client: string, server: string): Promise<Ran> {
  const show = 'ip addr show dev eth0; ip route; ip -6 route';
  return lab.runShell(OPTIONS, `${client} >&2; ${show}; ${lab.clientText('exchange', server, '7', 'hello')}`);
}
