/**
 * Filters against tcpdump's own: the same frames, the same text, the same frames accepted. Where a frame is too short for what a filter reads, libpcap's optimiser
 * sometimes leaves out the read that would refuse it; there either answer is right, that with it and that without. Filters are left out where tcpdump differs and
 * should not: see docs/guides/filters.md.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { Random } from '../../base/random.ts';
import { Packets } from '../packets.ts';
import { readPcap, writeFileHeader, writeRecord } from '../pcap.ts';
import { PcapChunk } from '../pcap-chunk.ts';
import { compileFilter } from './compile.ts';
import { framesOf } from './packets-fixture.test.ts';

const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;

const FRAMES = framesOf(20_260, 700);

const EXPRESSIONS = `
ip | ip6 | arp | rarp | tcp | udp | sctp | icmp | icmp6 | igmp | ah | esp | pim | vrrp
not ip | ip or ip6 | ip and ip6 | !tcp | not not udp | ip && !tcp || arp | tcp or udp and ip6 | arp or ip and icmp
host 10.0.0.1 | src host 10.0.0.1 | dst host 10.0.0.2 | src 10.0.0.1 | dst 192.168.1.23 | src or dst 10.0.0.1
src and dst 10.0.0.1 | src and dst host 10.0.0.2 | dst or src host 10.1.2.3 | dst and src host 10.0.0.1
ip host 10.0.0.1 | arp host 10.0.0.1 | rarp src host 10.0.0.2 | ip src 10.0.0.1 | not host 10.0.0.1
host 10.0.0.1 or 10.0.0.2 | host 10.0.0.1 and not 10.0.0.2 | not host 10.0.0.1 and 10.0.0.2 | host 10.0.0.1 and (10.0.0.2 or 10.1.2.3)
host (10.0.0.1 or 10.1.2.3) | src host 10.0.0.1 or 10.0.0.2 or fd00:a::1 | (host 10.0.0.1) and not arp
host fd00:a::1 | src host fd00:a::1 | dst host fd00:a::2 | src and dst host fd00:a::1 | ip6 host ff02::1 | host ::ffff:10.0.0.1
ip6 src fd00:b:1::1 | not host fd00:a::1 | host fd00:a::1 and (fd00:a::2 or ff02::1)
net 10.0.0.0/8 | net 10 | net 10.0 | net 10.0.0 | net 192.168.1 | net 10.0.0.0 mask 255.255.255.252 | src net 10.0.0.0/30
dst net 10.1.0.0/16 | src and dst net 10.0.0.0/8 | net 0.0.0.0/0 | arp net 10 | ip net 192.168.0.0/16 | net 10.0.0.1 | not net 10.0.0.0/8 and ip
net fd00:a::/32 | src net fd00:a::/64 | ip6 net fd00::/16 | dst net ff00::/8 | net fd00:a::1 | net ::/0 | net fd00:b::/47
port 80 | src port 80 | dst port 443 | src and dst port 80 | src or dst port 53 | tcp port 80 | udp port 53 | sctp port 443 | tcp dst port 22
port 80 or 443 | tcp port 80 or 443 | tcp port (80 or 443) | not port 80 | not tcp port 80 and tcp | port 80 and 443 | port 80 or (443 and not 22)
port http | port ssh | port domain | port ntp | tcp port domain | udp dst port domain | port ftp-data | port 0x50 | port 0120 | tcp dst port ftp-data or domain or ssh
portrange 20-53 | tcp portrange 80-443 | udp portrange 53-123 | src portrange 8000-65535 | dst portrange 53-20 | portrange 80 | portrange ssh-http
src and dst portrange 20-443 | not portrange 0-1023 | portrange 0-65535
proto 6 | proto 17 | proto \\tcp | ip proto 6 | ip proto \\icmp | ip proto 50 | ip6 proto 58 | ip6 proto 44 | ip6 proto \\udp | ip proto 0 or 47 | proto \\sctp
ether proto 0x800 | ether proto \\ip6 | ether proto \\arp | ether proto 0x42 | ether proto 0xf0 | ether proto 0xfe | ether proto 0x06 | ether proto 1500 | ether proto 1501
ether host 02:00:00:00:00:01 | ether src 02:00:00:00:00:01 | ether dst 2:0:0:0:0:2 | ether src or dst 02-00-00-00-00-01 | ether src and dst 02.00.00.00.00.01
ether host 0200.0000.0001 | ether host 020000000002 | ether dst ff:ff:ff:ff:ff:ff | not ether host 02:00:00:00:00:01
broadcast | multicast | ether broadcast | ether multicast | ip broadcast | ip multicast | ip6 multicast | not broadcast and not multicast
vlan | vlan 7 | vlan 100 | vlan and ip | vlan 7 and tcp port 80 | vlan and vlan | vlan 7 and vlan 100 | vlan or ip | not vlan | not vlan and ip | vlan and vlan and ip6
(vlan 7 or ip) and tcp | ip or vlan and ip | vlan and host 10.0.0.1 | vlan and icmp[icmptype] = icmp-echo | vlan and ether src 02:00:00:00:00:01 | vlan and ether proto 0x0800 | vlan and arp
less 60 | greater 100 | len > 90 | len <= 60 | less 0x3c and tcp | len = 74 | len - 14 > 60 | (len) > 64 | 64 < len | ((64)) <= len
tcp[13] & 2 != 0 | tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 | tcp[tcpflags] & (tcp-syn|tcp-ack) == (tcp-syn|tcp-ack) | tcp[tcpflags] = tcp-syn | not tcp[13] = 2
tcp[0:2] = 80 | tcp[2:2] >= 443 | tcp[4:4] > 0x80000000 | udp[4:2] < 20 | udp[0:2] = 53 or udp[2:2] = 53 | sctp[0:2] != 80 | icmp[0] = 8 | icmp[icmptype] != icmp-echo
icmp[icmptype] = icmp-unreach and icmp[icmpcode] < 2 | icmp6[icmp6type] = icmp6-echo | icmp6[0] = icmp6-neighborsolicit | icmp6[0] != 128 | not icmp6[0] = 128 | igmp[0] > 100
ip[0] & 0xf != 5 | ip[2:2] > 60 | ip[6:2] & 0x1fff = 0 | ip[8] < 10 | ip[12:4] = 0x0a000001 | ip[16] >= 224 | ip6[6] = 6 | ip6[40] & 1 = 0 | ip6[24:4] = 0xfd00000a
ether[0] & 1 = 0 and ip[16] >= 224 | ether[12:2] = 0x86dd | ether[6:4] = 0x02000000 | link[0] = 2 | arp[6:2] = 1 | arp[7] = 2 and arp[14:4] = 0x0a000001 | rarp[7] > 1
tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0) | tcp[((tcp[12] & 0xf0) >> 2)] > 100 | tcp[((tcp[12:1] & 0xf0) >> 2):4] < 0x80000000
ip[ip[8]] = 1 | ip[ip[0] & 0xf] > 5 | ether[len - 1] > 128 | ether[len - 4:4] < 0x7fffffff | ether[len] = 0 | ether[0 - 1] = 0 | tcp[-4:4] = 0x0a000001 | tcp[0 - 8:4] > 0
ip[2:2] / 4 > 15 | ip[2:2] * 3 < 200 | ip[2:2] / ip[9] > 2 | ip and 100 / (ip[8] - 1) >= 0 | (ip[2:2] % 8) = 3 | (ip[8] ^ 0xff) > 100 | ip and (1 << (ip[9] & 63)) > 0 | ip and (0xffffffff >> ip[8]) = 0 | ip and 1 << ip[9] = 0
-1 = 0xffffffff | ip[8] - 65 > 0 | 1 > 2 or tcp | 1 = 1 and udp | ip[8]|1 = 65 | ip[2:2] & 0xff0 >> 4 = 3 | 2 + 3 * 4 = 14 | (2 + 3) * 4 = 20 and ip | 7 - 2 - 1 = 4
tcp and host 10.0.0.1 and port 80 or udp and not port 53 | ip6 and tcp port 80 | ip and not (tcp port 80 or udp port 53) | (tcp or udp) and (port 80 or 443) and host 10.0.0.1
not (ip or ip6) and not arp | (((tcp))) | not (not (tcp)) | ip and (tcp[13] & 2 != 0 or icmp) | host 10.0.0.1 and tcp[0:2] = 80 or arp | ip6 and not icmp6 and not tcp and not udp`
  .split(/ \| |\n/)
  .filter((text) => text !== '');

describe('filters beside those of tcpdump', { skip: hasTcpdump ? false : 'tcpdump is not installed' }, () => {
  const file = captureOf(FRAMES);
  const packets = packetsOf(FRAMES);
  const hits = new Map<string, number>();

  it(`accepts the same frames, for ${EXPRESSIONS.length} filters`, () => {
    assert.deepEqual(
      EXPRESSIONS.flatMap((text) => differences(text)),
      [],
    );
  });

  it('accepts the same frames for filters that are put together at random', () => {
    const random = new Random(4);
    const any = (depth: number): string => {
      const one = EXPRESSIONS[random.below(EXPRESSIONS.length)];
      if (depth === 0) return `(${one})`;
      const not = random.below(3) === 0 ? 'not ' : '';
      return `${not}(${any(depth - 1)} ${random.below(2) === 0 ? 'and' : 'or'} ${any(depth - 1)})`;
    };
    const texts = Array.from({ length: 80 }, (_, i) => any(1 + (i % 3)));
    assert.deepEqual(
      texts.flatMap((text) => differences(text)),
      [],
    );
  });

  it('was asked filters that tell frames apart', () => {
    const constant = EXPRESSIONS.filter((text) => !hits.has(text) || hits.get(text) === FRAMES.length);
    assert.ok(constant.length < EXPRESSIONS.length / 8, constant.join(' | '));
  });

  function differences(text: string): string[] {
    const filter = compileFilter(text);
    const plain = acceptedBy(file, text, ['-O']);
    const optimised = acceptedBy(file, text, []);
    if (!filter.ok || typeof plain === 'string' || typeof optimised === 'string') {
      return [`${text} is refused: ${filter.ok ? plain : filter.failure.message}`];
    }
    return FRAMES.flatMap((frame, i) => {
      const ours = filter.value(packets, i);
      if (ours) hits.set(text, (hits.get(text) ?? 0) + 1);
      if (ours === plain.has(i) || ours === optimised.has(i)) return [];
      return [`${text} ${ours ? 'accepts' : 'refuses'} ${Buffer.from(frame).toString('hex')}`];
    });
  }
});

/** The frames that tcpdump accepts, by the second that they were seen in; or why it does not take the filter. */
function acceptedBy(file: Uint8Array, text: string, options: readonly string[]): Set<number> | string {
  const { status, stdout, stderr } = spawnSync('tcpdump', [...options, '-r', '-', '-w', '-', '--', text], {
    input: file,
  });
  if (stderr.includes('expression rejects all packets')) return new Set();
  if (status !== 0) return stderr.toString();
  const read = readPcap(stdout);
  assert.ok(read.ok);
  return new Set(read.value.records.map(({ seconds }) => seconds));
}

function captureOf(frames: readonly Uint8Array[]): Uint8Array {
  const chunk = new PcapChunk();
  writeFileHeader(chunk, 'nanoseconds');
  frames.forEach((frame, i) => {
    writeRecord(chunk, i, 0, frame, 0, frame.length, frame.length);
  });
  return chunk.bytes.slice(0, chunk.length);
}

function packetsOf(frames: readonly Uint8Array[]): Packets {
  const packets = new Packets(1 << 20, frames.length);
  for (const frame of frames) packets.bytes.set(frame, packets.start[packets.allocate(frame.length)]);
  return packets;
}
