/** A TUN device in one namespace and a tap in another, joined as if both were Ethernet: Linux behind the tap asks for MAC addresses, and the TUN link answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMacAddress } from '../base/address.ts';
import { inOwnNamespace } from '../sys/own-namespace-fixture.test.ts';
import { TapLink } from './tap.ts';
import { TUN_HEADROOM_BYTES, TunLink } from './tun-link.ts';
import { inside, Network, offloadOf } from './two-namespaces-fixture.test.ts';

const BYTES = 8 * 1024 * 1024;
const TAP_MAC = '02:00:00:00:00:0a';
const PEER_MAC = '02:00:00:00:00:0b';

inOwnNamespace(import.meta.url, 'TUN devices of Linux', () => {
  test('ping, and TCP in large frames both ways, between a TUN device and a tap', async (t) => {
    const network = new Network(t);
    const { sys, arenaMemory } = network;
    const red = await network.namespace();
    const blue = await network.namespace();
    const redTap = network.open(
      red,
      { name: 'eth0' },
      `ip link set eth0 address ${TAP_MAC} up
       ip address add 10.2.0.1/24 dev eth0
       ip address add fd02::1/64 dev eth0 nodad`,
    );
    const blueTun = network.open(
      blue,
      { name: 'tun0', mode: 'tun' },
      `ip link set tun0 up
       ip address add 10.2.0.2/24 dev tun0
       ip address add fd02::2/64 dev tun0 nodad`,
    );
    const common = { hasVnetHeader: true, arenaMemory };
    const tap = new TapLink(sys, { ...common, name: 'eth0', fd: redTap.fds[0]!, offload: offloadOf(redTap) });
    const plain = new TapLink(sys, {
      ...common,
      name: 'tun0',
      fd: blueTun.fds[0]!,
      offload: offloadOf(blueTun),
      headroom: TUN_HEADROOM_BYTES,
    });
    let questions = 0;
    const tun = new TunLink(plain, {
      ourMac: parseMacAddress(TAP_MAC)!,
      peerMac: parseMacAddress(PEER_MAC)!,
      onAnswer: () => questions++,
    });
    network.carry(tap, () => tun);
    network.carry(tun, () => tap);

    for (const address of ['10.2.0.2', 'fd02::2']) {
      assert.match(await network.run(red, 'ping', '-c', '3', '-i', '0.05', address), /3 received/);
      await network.echo(red, blue, address, BYTES);
    }
    assert.match(await network.run(blue, 'ping', '-c', '3', '-i', '0.05', '10.2.0.1'), /3 received/);
    assert.ok(network.large > 100, `${network.large} large frames`);
    assert.ok(questions >= 2, 'ARP and neighbour discovery');
    for (const address of ['10.2.0.2', 'fd02::2']) {
      assert.match(inside(red, 'ip', 'neigh', 'show', 'to', address), new RegExp(`lladdr ${PEER_MAC}`));
    }
    for (const namespace of [red, blue]) assert.doesNotMatch(inside(namespace, 'nstat', '-as'), /TcpInCsumErrors/);
    assert.deepEqual([tun.receivedNotIp, tun.transmittedNotIp, tun.unanswered, plain.writeErrors], [0, 0, 0, 0]);
  });
});
