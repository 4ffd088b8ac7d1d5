/** An interface, its VLAN sub-interfaces, and what is served on them. */
import { z } from 'zod';
import { SPLIT_HORIZON_GROUP_MAX } from '../base/limits.ts';
import type {
  DhcpConfig,
  DnsConfig,
  InterfaceConfig,
  PortConfig,
  RouterAdvertisementConfig,
  ServicesConfig,
} from './config.ts';
import { DATAGRAM_SCHEMA, STREAM_SCHEMA, VHOST_USER_SCHEMA } from './machine-schema.ts';
import { ADDRESSES_SCHEMA, MTU_SCHEMA, TAP_SCHEMA } from './tap-schema.ts';
import {
  ADDRESS_SCHEMA,
  DOMAIN_SCHEMA,
  DURATION_SCHEMA,
  MAC_SCHEMA,
  PUBLISH_SCHEMA,
  RANGE_SCHEMA,
} from './text-values.ts';

const SERVERS_MAX = 16;
const RULES_MAX = 256;

const NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,30}$/;
const WORDS = ['uplink', 'drop', 'gateway', 'any', 'all'];

/** A name for an interface or a bridge of ours. Dots are for what is derived: sub-interfaces and BVIs. */
export const OUR_NAME_SCHEMA: z.ZodType<string, string> = z
  .string()
  .regex(NAME, { error: 'must be a name of 1 to 31 letters, digits, "-" and "_" that begins with a letter' })
  .refine((name) => !WORDS.includes(name), { error: 'is a word of the configuration: choose another name' });

/** VLAN 0 is none, 4095 is reserved (IEEE 802.1Q). */
const VLAN_SCHEMA: z.ZodType<string, string> = z.string().regex(/^(?!4095)([1-9]\d{0,2}|[1-3]\d{3}|40[0-9]\d)$/, {
  error: 'must be a VLAN number from 1 to 4094',
});

const SERVERS_SCHEMA: z.ZodType<DnsConfig['servers']> = z.array(ADDRESS_SCHEMA).max(SERVERS_MAX);

const DHCP_SCHEMA: z.ZodType<DhcpConfig> = z.strictObject({
  pool: RANGE_SCHEMA.optional().describe("IPv4 addresses to give. Left out: all of the interface's network save ours."),
  lease: DURATION_SCHEMA.prefault('1h').describe('How long an address is given for.'),
  gateway: ADDRESS_SCHEMA.optional().describe('The default route to tell of. Left out: our address on the interface.'),
  dns: SERVERS_SCHEMA.default([]).describe(
    'DNS servers to tell of. None: our address, where `services.dns` is configured.',
  ),
  searchDomains: z.array(DOMAIN_SCHEMA).max(SERVERS_MAX).default([]).describe('Domains to append to short names.'),
});

const RA_SCHEMA: z.ZodType<RouterAdvertisementConfig> = z.strictObject({
  interval: DURATION_SCHEMA.prefault('200s').describe('Time between unsolicited advertisements, at most.'),
  lifetime: DURATION_SCHEMA.prefault('30m').describe('How long we are a default router for. `0s`: not at all.'),
  managed: z.boolean().default(false).describe('Addresses are to be had by DHCPv6.'),
  other: z.boolean().default(false).describe('Other settings are to be had by DHCPv6.'),
  dns: SERVERS_SCHEMA.default([]).describe(
    'DNS servers to tell of (RFC 8106). None: our address, where `services.dns` is configured.',
  ),
});

const DNS_SCHEMA: z.ZodType<DnsConfig> = z.strictObject({
  servers: SERVERS_SCHEMA.default([]).describe("Whom questions are passed on to. None: the host's own resolvers."),
});

export const SERVICES_SCHEMA: z.ZodType<ServicesConfig> = z.strictObject({
  dhcp: DHCP_SCHEMA.optional().describe('Give IPv4 addresses. `{}`: with all defaults.'),
  ra: RA_SCHEMA.optional().describe("Advertise ourselves as an IPv6 router, and the interface's /64 networks."),
  dns: DNS_SCHEMA.optional().describe('Answer DNS questions to our addresses on the interface.'),
});

export const PUBLISHED_SCHEMA: z.ZodType<PortConfig['publish']> = z
  .array(PUBLISH_SCHEMA)
  .max(RULES_MAX)
  .default([])
  .describe(
    'Ports of the host that lead to whoever is behind it: `[ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp]`. Without TOADDR: to the addresses of a tap in its namespace, or the only one of the DHCP pool. Needs `uplink`.',
  );

const PORT_SHAPE: {
  readonly [Key in keyof PortConfig]-?: z.ZodType<PortConfig[Key]>;
} = {
  address: ADDRESSES_SCHEMA.default([]).describe(
    'Our addresses on it, each with the prefix length of its network. Excludes `bridge`.',
  ),
  mtu: MTU_SCHEMA.optional().describe(
    'Bytes of an IP packet, at most. Left out: 1500; for a sub-interface, that of its interface.',
  ),
  up: z.boolean().default(true).describe('Whether it carries anything. The other side sees its carrier.'),
  bridge: OUR_NAME_SCHEMA.optional().describe('The bridge that it is a member of. Excludes `address`.'),
  splitHorizonGroup: z
    .int()
    .min(0)
    .max(SPLIT_HORIZON_GROUP_MAX)
    .default(0)
    .describe('Members of a bridge with the same group above 0 do not reach each other.'),
  services: SERVICES_SCHEMA.prefault({}).describe('What those behind it are served.'),
  publish: PUBLISHED_SCHEMA,
};

export const INTERFACE_SCHEMA: z.ZodType<InterfaceConfig> = z.strictObject({
  tap: TAP_SCHEMA.prefault({}).describe('A TAP (or TUN) device of the kernel.'),
  stream: STREAM_SCHEMA.optional().describe(
    "A virtual machine's network device instead of a tap: QEMU's `-netdev stream`, plugged into a socket of ours. Excludes `tap`, `datagram` and `vhostUser`.",
  ),
  datagram: DATAGRAM_SCHEMA.optional().describe(
    "The same with a datagram for each frame, where either side may end and come back: QEMU's `-netdev dgram`. Excludes `tap`, `stream` and `vhostUser`.",
  ),
  vhostUser: VHOST_USER_SCHEMA.optional().describe(
    "The same by memory that the machine shares with us, which is faster: QEMU's `-netdev vhost-user`. Excludes `tap`, `stream` and `datagram`.",
  ),
  ...PORT_SHAPE,
  mac: MAC_SCHEMA.optional().describe('Our MAC address on it. Left out: drawn when the interface is made.'),
  promiscuous: z.boolean().default(false).describe('Take frames for any MAC address.'),
  vlans: z
    .record(VLAN_SCHEMA, z.strictObject(PORT_SHAPE))
    .default({})
    .describe('Sub-interfaces by VLAN number (802.1Q). Number 100 of `tap0` is called `tap0.100` in routes.'),
});
