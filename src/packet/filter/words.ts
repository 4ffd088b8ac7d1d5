/** The words of the language, and the numbers that names stand for. */
import type { Layer } from './syntax.ts';

/** What a qualifier or an abbreviation can begin with, by what it is in the frame. */
export const PROTOCOL_WORDS: ReadonlySet<string> = new Set([
  'ether',
  'link',
  'ip',
  'ip6',
  'arp',
  'rarp',
  'tcp',
  'udp',
  'sctp',
  'icmp',
  'icmp6',
  'igmp',
  'ah',
  'esp',
  'pim',
  'vrrp',
]);

export const TYPE_WORDS: ReadonlySet<string> = new Set(['host', 'net', 'port', 'portrange', 'proto']);

const OTHER_WORDS = ['src', 'dst', 'broadcast', 'multicast', 'vlan', 'less', 'greater', 'len', 'mask'];

/** Words that can stand at the beginning of a primitive, for those who misspell them. */
export const LEADING_WORDS: readonly string[] = [...PROTOCOL_WORDS, ...TYPE_WORDS, ...OTHER_WORDS, 'not'];

/** Words that tcpdump knows on Ethernet and this compiler does not, with what to do instead. */
export const UNSUPPORTED_WORDS: ReadonlyMap<string, string> = new Map([
  ['protochain', 'chains of IPv6 headers are not followed; "ip6 proto N" looks at the first one, "ip6[40]" behind it'],
  ['gateway', 'names are not looked up; write "ether host MAC and not host ADDRESS"'],
  ['inbound', 'a capture has its directions beside its filter'],
  ['outbound', 'a capture has its directions beside its filter'],
  ['ifname', 'a capture has its interface beside its filter'],
  ['mpls', 'labels are not looked behind; "ether proto 0x8847" finds them'],
  ['pppoed', 'write "ether proto 0x8863"'],
  ['pppoes', 'sessions are not looked into; "ether proto 0x8864" finds them'],
  ['geneve', 'tunnels are not looked into; "udp port 6081" finds them'],
  ['llc', 'headers of 802.2 are read with "ether[12:2] <= 1500 and ether[14]"'],
]);

export const LAYERS: ReadonlyMap<string, Layer> = new Map<string, Layer>([
  ['ether', 'ether'],
  ['link', 'ether'],
  ['ip', 'ip'],
  ['ip6', 'ip6'],
  ['arp', 'arp'],
  ['rarp', 'rarp'],
  ['tcp', 'tcp'],
  ['udp', 'udp'],
  ['sctp', 'sctp'],
  ['icmp', 'icmp'],
  ['icmp6', 'icmp6'],
  ['igmp', 'igmp'],
]);

/** `ether proto NAME`. Below 1500: SAPs of IEEE 802.2. */
export const ETHER_PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['ip', 0x0800],
  ['arp', 0x0806],
  ['rarp', 0x8035],
  ['ip6', 0x86dd],
  ['loopback', 0x9000],
  ['stp', 0x42],
  ['iso', 0xfe],
  ['netbeui', 0xf0],
]);

/** `ip proto NAME`: of IANA's register, what is met. */
export const IP_PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['icmp', 1],
  ['igmp', 2],
  ['ipencap', 4],
  ['tcp', 6],
  ['udp', 17],
  ['ipv6', 41],
  ['ipv6-route', 43],
  ['ipv6-frag', 44],
  ['gre', 47],
  ['esp', 50],
  ['ah', 51],
  ['ipv6-icmp', 58],
  ['icmp6', 58],
  ['ipv6-nonxt', 59],
  ['ipv6-opts', 60],
  ['eigrp', 88],
  ['ospf', 89],
  ['pim', 103],
  ['vrrp', 112],
  ['l2tp', 115],
  ['sctp', 132],
  ['udplite', 136],
]);

export const TCP = 6;
export const UDP = 17;
export const SCTP = 132;

/** What a service's name says of its protocol: `port http` is TCP only, `port domain` any protocol that has ports. */
export type ServiceProtocol = 'tcp' | 'udp' | 'any';

export interface Service {
  readonly port: number;
  readonly protocol: ServiceProtocol;
}

/** Names that people use, with the protocols that Debian's /etc/services has for them. */
export const SERVICES: ReadonlyMap<string, Service> = new Map([
  ...services(
    'tcp',
    'ftp-data 20, ftp 21, ssh 22, telnet 23, smtp 25, whois 43, gopher 70, finger 79, http 80, www 80, pop3 110, nntp 119, netbios-ssn 139, imap2 143',
  ),
  ...services(
    'tcp',
    'imap 143, bgp 179, microsoft-ds 445, submission 587, rsync 873, imaps 993, pop3s 995, socks 1080, mysql 3306, ms-wbt-server 3389, postgresql 5432',
  ),
  ...services('tcp', 'amqp 5672, x11 6000, redis 6379, http-alt 8080, git 9418'),
  ...services(
    'udp',
    'bootps 67, bootpc 68, tftp 69, ntp 123, netbios-ns 137, isakmp 500, syslog 514, dhcpv6-client 546, dhcpv6-server 547, ipsec-nat-t 4500, mdns 5353',
  ),
  ...services(
    'any',
    'echo 7, discard 9, time 37, domain 53, kerberos 88, sunrpc 111, snmp 161, ldap 389, https 443, rtsp 554, ldaps 636, domain-s 853, openvpn 1194, radius 1812, nfs 2049, sip 5060',
  ),
]);

/** Names of numbers, for `icmp[icmptype] = icmp-echo` and `tcp[tcpflags] & tcp-syn != 0`: where fields stand, and what stands there. */
export const NAMED_NUMBERS: ReadonlyMap<string, number> = new Map([
  ...numbers('icmptype 0, icmpcode 1, icmp6type 0, icmp6code 1, tcpflags 13'),
  ...numbers('tcp-fin 1, tcp-syn 2, tcp-rst 4, tcp-push 8, tcp-ack 16, tcp-urg 32, tcp-ece 64, tcp-cwr 128'),
  ...numbers('icmp-echoreply 0, icmp-unreach 3, icmp-sourcequench 4, icmp-redirect 5, icmp-echo 8'),
  ...numbers('icmp-routeradvert 9, icmp-routersolicit 10, icmp-timxceed 11, icmp-paramprob 12'),
  ...numbers(
    'icmp-tstamp 13, icmp-tstampreply 14, icmp-ireq 15, icmp-ireqreply 16, icmp-maskreq 17, icmp-maskreply 18',
  ),
  ...numbers('icmp6-destinationunreach 1, icmp6-packettoobig 2, icmp6-timeexceeded 3, icmp6-parameterproblem 4'),
  ...numbers('icmp6-echo 128, icmp6-echoreply 129, icmp6-multicastlistenerquery 130'),
  ...numbers('icmp6-multicastlistenerreportv1 131, icmp6-multicastlistenerdone 132'),
  ...numbers('icmp6-routersolicit 133, icmp6-routeradvert 134, icmp6-neighborsolicit 135, icmp6-neighboradvert 136'),
  ...numbers('icmp6-redirect 137, icmp6-routerrenum 138, icmp6-nodeinformationquery 139'),
  ...numbers('icmp6-nodeinformationresponse 140, icmp6-ineighbordiscoverysolicit 141'),
  ...numbers('icmp6-ineighbordiscoveryadvert 142, icmp6-multicastlistenerreportv2 143'),
  ...numbers('icmp6-homeagentdiscoveryrequest 144, icmp6-homeagentdiscoveryreply 145, icmp6-mobileprefixsolicit 146'),
  ...numbers('icmp6-mobileprefixadvert 147, icmp6-certpathsolicit 148, icmp6-certpathadvert 149'),
  ...numbers('icmp6-multicastrouteradvert 151, icmp6-multicastroutersolicit 152, icmp6-multicastrouterterm 153'),
]);

function services(protocol: ServiceProtocol, list: string): [string, Service][] {
  return numbers(list).map(([name, port]) => [name, { port, protocol }]);
}

/** `NAME NUMBER, NAME NUMBER`. */
function numbers(list: string): [string, number][] {
  return list.split(', ').map((entry) => {
    const [name, number] = entry.split(' ');
    return [name, Number(number)];
  });
}
