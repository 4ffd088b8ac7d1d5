/**
 * The one schema: what a file of `tapster up` holds, what the API takes as `/v1/config`, what editors check (`json-schema.ts`) and what docs/config.md
 * says (`reference.ts`). Read by `parseConfig`, which says what is wrong and where.
 *
 * Loads zod. Commands that need no configuration, `tapster run` above all, must not load this module: import it, and `parse-config.ts`, where it is
 * needed with `await import()`. `config.ts` and `plan.ts` load no package.
 */
import { z } from 'zod';
import { FLOWS_MAX_DEFAULT, FLOWS_MAX_HIGHEST, FLOWS_MAX_LOWEST, ROUTES_MAX } from '../base/limits.ts';
import type { BridgeConfig, BviConfig, Config, DefaultsConfig, LoggingConfig, UplinkConfig } from './config.ts';
import { INTERFACE_SCHEMA, OUR_NAME_SCHEMA, PUBLISHED_SCHEMA, SERVICES_SCHEMA } from './interface-schema.ts';
import { NEIGHBOUR_SCHEMA, ROUTE_SCHEMA } from './route-schema.ts';
import { ADDRESSES_SCHEMA, MTU_SCHEMA } from './tap-schema.ts';
import { DURATION_SCHEMA, LOOPBACK_SCHEMA, MAC_SCHEMA, PATH_SCHEMA } from './text-values.ts';

/** What most switches forget a station after. */
const AGEING = '300s';
/** The tables of both families. */
const ROUTES_OF_BOTH_MAX = 2 * ROUTES_MAX;

const BVI_SCHEMA: z.ZodType<BviConfig> = z.strictObject({
  address: ADDRESSES_SCHEMA.default([]).describe(
    'Our addresses in the bridge, each with the prefix length of its network.',
  ),
  services: SERVICES_SCHEMA.prefault({}).describe('What those in the bridge are served.'),
  publish: PUBLISHED_SCHEMA,
  mac: MAC_SCHEMA.optional().describe('Our MAC address in the bridge. Left out: drawn when it is made.'),
  mtu: MTU_SCHEMA.optional().describe('Bytes of an IP packet, at most. Left out: 1500.'),
});

const BRIDGE_SCHEMA: z.ZodType<BridgeConfig> = z.strictObject({
  ageing: DURATION_SCHEMA.prefault(AGEING).describe('A station that was silent for so long is forgotten. `0s`: never.'),
  learn: z.boolean().default(true).describe('Remember behind which member a station was heard.'),
  flood: z.boolean().default(true).describe('Send frames for an unknown station to all members.'),
  bvi: BVI_SCHEMA.optional().describe(
    'Our own leg in the bridge (bridge virtual interface). That of bridge `lan` is called `bvi.lan` in routes.',
  ),
});

const UPLINK_SCHEMA: z.ZodType<UplinkConfig> = z.strictObject({
  translate: z.literal('host').describe('Packets routed here become sockets of the host, as with `tapster run`.'),
  tcp: z.boolean().default(true).describe('Translate TCP; refused otherwise.'),
  udp: z.boolean().default(true).describe('Translate UDP; refused otherwise.'),
  icmp: z.boolean().default(true).describe('Translate ICMP and ICMPv6 echo; refused otherwise.'),
  hostLoopback: LOOPBACK_SCHEMA.optional().describe(
    "The address at which the host's own 127.0.0.1 and ::1 can be reached; `gateway`: ours on the interface that asks. Left out: they can't.",
  ),
  allowMetadata: z.boolean().default(false).describe('Let 169.254.169.254 and fd00:ec2::254 be reached.'),
  flowsMax: z
    .int()
    .min(FLOWS_MAX_LOWEST)
    .max(FLOWS_MAX_HIGHEST)
    .default(FLOWS_MAX_DEFAULT)
    .describe('Flows open at one time.'),
});

const LOGGING_SCHEMA: z.ZodType<LoggingConfig> = z.strictObject({
  level: z.enum(['error', 'warning', 'info', 'debug']).default('info').describe('What is worth a line.'),
  format: z.enum(['text', 'json']).default('text').describe('Lines for people, or for programs.'),
  flows: PATH_SCHEMA.optional().describe('A file of JSON lines: one when a flow opens and one when it closes.'),
});

const DEFAULTS_SCHEMA: z.ZodType<DefaultsConfig> = z.strictObject({
  hostMtu: MTU_SCHEMA.optional().describe("MTU of the kernel's side of taps that have none of their own."),
  taps: z
    .enum(['enabled', 'disabled'])
    .default('enabled')
    .describe('`disabled`: no tap can be made, here or at run time.'),
});

export const CONFIG_SCHEMA: z.ZodType<Config> = z.strictObject({
  interfaces: z.record(OUR_NAME_SCHEMA, INTERFACE_SCHEMA).default({}).describe('Interfaces by name.'),
  bridges: z.record(OUR_NAME_SCHEMA, BRIDGE_SCHEMA).default({}).describe('Learning bridges by name.'),
  routes: z
    .array(ROUTE_SCHEMA)
    .max(ROUTES_OF_BOTH_MAX)
    .default([])
    .describe('Routes besides those to the networks of our addresses.'),
  neighbours: z
    .array(NEIGHBOUR_SCHEMA)
    .max(ROUTES_OF_BOTH_MAX)
    .default([])
    .describe('Neighbours whose MAC address is given.'),
  uplink: UPLINK_SCHEMA.optional().describe('The way to the world through sockets of the host.'),
  logging: LOGGING_SCHEMA.prefault({}).describe('What the engine tells of itself.'),
  defaults: DEFAULTS_SCHEMA.prefault({}).describe('What holds where an interface says nothing.'),
});

/** The configuration as it would be written, with all defaults: plain data of texts and numbers, which `CONFIG_SCHEMA` reads as the same value. */
export function writeConfig(config: Config): unknown {
  return z.encode(CONFIG_SCHEMA, config);
}
