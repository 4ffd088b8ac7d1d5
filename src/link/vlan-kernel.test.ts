/**
 * VLAN devices of Linux at the other ends of two taps, each with an id of its own: what one sends with its tag reaches the other with the other's, whole or cut. That a tap
 * takes and gives frames that are to be cut with a tag in them is relied on, and shown here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { ORDINARY, putLargeFrame, twoArenas } from '../packet/large-frame-fixture.test.ts';
import { VNET_HEADER_BYTES } from '../packet/packets.ts';
import { copyTagged, NOT_TAGGED, untag } from '../packet/vlan-tag.ts';
import { closeHostTap, type OffloadLevel, openHostTap } from '../sys/host-tap.ts';
import { LinuxSys } from '../sys/linux.ts';
import { inOwnNamespace, ip, unwrap } from '../sys/own-namespace-fixture.test.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';
import { SoftwareOffload } from './software-offload.ts';
import { TapLink } from './tap.ts';
import { inside, Network, offloadOf } from './two-namespaces-fixture.test.ts';
import { VlanLink } from './vlan.ts';

const BYTES = 4 * 1024 * 1024;
const RED_VLAN = 100;
const BLUE_VLAN = 200;

inOwnNamespace(import.meta.url, 'VLAN sub-interfaces and the VLAN devices of Linux', () => {
  // On a tap, since the loopback interface takes no VLAN devices.
  const probe = spawnSync('sh', ['-c', 'ip tuntap add probe mode tap && ip link add link probe type vlan id 1']);
  const skip = probe.status === 0 ? false : 'this kernel has no VLAN devices (8021q)';

  test('a tap takes and gives a frame that is to be cut with a tag in it, and counts over the tag', () => {
    const { memory, packets, segments } = twoArenas();
    const sys = new LinuxSys();
    const vector = new Int32Array(16);
    const memories = [sys.register(memory), sys.register(vector)] as const;
    writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
    ip('link', 'add', 'lan', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
    const taps = ['from', 'to'].map((name) => unwrap(openHostTap({ name })));
    for (const { name } of taps) ip('link', 'set', name, 'master', 'lan', 'up');
    const [from = -1, to = -1] = taps.map(({ fds }) => fds[0]);
    ip('link', 'set', 'lan', 'up');
    for (const large of [ORDINARY, { ...ORDINARY, isIpv6: true, segmentBytes: 1428 }]) {
      const packet = copyTagged(packets, putLargeFrame(packets, large), segments, RED_VLAN);
      const header = segments.start[packet] - VNET_HEADER_BYTES;
      const bytes = segments.length[packet] + VNET_HEADER_BYTES;
      vector.set([header, bytes]);
      assert.equal(sys.writeFrames(from, ...memories, 0, 1), 1);
      assert.equal(sys.readFrames(to, memories[0], 128 * 1024, 250 * 1024, 80_000, memories[1], 0, 2), 1);
      const [at = 0, length] = vector;
      assert.equal(length, bytes);
      assert.deepEqual(
        memory.slice(at + VNET_HEADER_BYTES, at + bytes),
        memory.slice(header + VNET_HEADER_BYTES, header + bytes),
      );
      for (const field of [vnet.flags, vnet.gsoType, vnet.gsoSize, vnet.checksumStart, vnet.checksumOffset]) {
        assert.equal(field(packets.view, at), field(segments.view, header), field.name);
      }
    }
    for (const tap of taps) closeHostTap(tap);
    ip('link', 'delete', 'lan');
  });

  test('ping, and TCP in large frames both ways', { skip }, async (t) => {
    const { network, red, blue, software } = await wire(t, 'segmentation');
    for (const address of ['10.1.0.2', 'fd01::2']) {
      assert.match(await network.run(red, 'ping', '-c', '3', '-i', '0.05', address), /3 received/);
      await network.echo(red, blue, address, BYTES);
    }
    assert.ok(network.large > 100, `${network.large} large frames`);
    assert.equal(software.segmented, 0);
    // Nothing had to be sent again: each frame that the kernel took was right.
    for (const namespace of [red, blue]) assert.doesNotMatch(inside(namespace, 'nstat', '-as'), /TcpInCsumErrors/);
  });

  test('TCP from large frames into a tap without offloads, and back', { skip }, async (t) => {
    const { network, red, blue, software } = await wire(t, 'off');
    for (const address of ['10.1.0.2', 'fd01::2']) await network.echo(red, blue, address, BYTES);
    assert.ok(software.segmented > 50, `${software.segmented} frames were cut behind their tags`);
    assert.equal(software.dropped, 0);
    for (const namespace of [red, blue]) assert.doesNotMatch(inside(namespace, 'nstat', '-as'), /TcpInCsumErrors/);
  });
});

/** Red's tap has all offloads, blue's those that are said. */
async function wire(t: TestContext, blueOffloads: OffloadLevel) {
  const network = new Network(t);
  const red = await network.namespace();
  const blue = await network.namespace();
  const redTap = open(red, RED_VLAN, 1, 'segmentation');
  const blueTap = open(blue, BLUE_VLAN, 2, blueOffloads);
  const software = new SoftwareOffload(blueTap, network.segments);
  carry(redTap, RED_VLAN, new VlanLink('blue.200', software, BLUE_VLAN, network.tagged));
  carry(software, BLUE_VLAN, new VlanLink('red.100', redTap, RED_VLAN, network.tagged));
  return { network, red, blue, software };

  function open(namespace: string, id: number, host: number, offloads: OffloadLevel): Link {
    const tap = network.open(
      namespace,
      { name: 'eth0', offloads },
      `ip link set eth0 up
       ip link add link eth0 name eth0.${id} type vlan id ${id} egress-qos-map 0:5
       ip address add 10.1.0.${host}/24 dev eth0.${id}
       ip address add fd01::${host}/64 dev eth0.${id} nodad
       ip link set eth0.${id} up`,
    );
    const { sys, arenaMemory } = network;
    return new TapLink(sys, {
      name: 'eth0',
      fd: tap.fds[0]!,
      hasVnetHeader: true,
      offload: offloadOf(tap),
      arenaMemory,
    });
  }

  function carry(from: Link, id: number, to: Link): void {
    network.carry(from, (packet) => {
      const got = untag(network.packets, packet);
      // The VLAN device's parent speaks for itself, too.
      if (got === NOT_TAGGED) return undefined;
      assert.equal(got, id);
      const { view, start, length } = network.packets;
      assert.ok(vnet.check(view, start[packet] - VNET_HEADER_BYTES, length[packet]) > 0);
      return to;
    });
  }
}
