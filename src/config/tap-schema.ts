/** The `tap` of an interface: what it is on the kernel's side, and how it is read. Words and defaults are those of VPP's `create tap`. */
import { z } from 'zod';
import { INTERFACE_ADDRESSES_MAX, MTU_MAX, MTU_MIN, TAP_ID_MAX, TAP_QUEUES_MAX, WORKERS_MAX } from '../base/limits.ts';
import type { TapConfig, TapHostConfig } from './config.ts';
import { RX_MODE_SCHEMA } from './rx-mode-schema.ts';
import {
  ADDRESS_SCHEMA,
  INTERFACE_ADDRESS_SCHEMA,
  KERNEL_NAME_SCHEMA,
  MAC_SCHEMA,
  NAMESPACE_SCHEMA,
} from './text-values.ts';

const RING_DEFAULT = 256;
const RING_MAX = 32_768;

export const MTU_SCHEMA: z.ZodType<number> = z
  .int()
  .min(MTU_MIN)
  .max(MTU_MAX)
  .meta({ examples: [1500] });

export const ADDRESSES_SCHEMA: z.ZodType<readonly TapHostConfig['address'][number][]> = z
  .array(INTERFACE_ADDRESS_SCHEMA)
  .max(INTERFACE_ADDRESSES_MAX);

const HOST_SCHEMA: z.ZodType<TapHostConfig> = z.strictObject({
  name: KERNEL_NAME_SCHEMA.optional().describe(
    'Its name. Left out: `tap` and the id, or without an id the name of the interface.',
  ),
  namespace: NAMESPACE_SCHEMA.optional().describe(
    'The network namespace that it is in: a name as of `ip netns`, an absolute path, or `pid:N` for the one of a process. Left out: where the engine runs.',
  ),
  address: ADDRESSES_SCHEMA.default([]).describe('Its addresses, each with the prefix length of its network.'),
  gateway: z
    .array(ADDRESS_SCHEMA)
    .max(2)
    .default([])
    .describe('The default route in the namespace; one for each family.'),
  mac: MAC_SCHEMA.optional().describe("Its MAC address. Left out: the kernel's choice."),
  mtu: MTU_SCHEMA.optional().describe(
    'Its MTU in bytes. Left out: `defaults.hostMtu`, or without that the MTU of the interface.',
  ),
  bridge: KERNEL_NAME_SCHEMA.optional().describe(
    "A bridge of the kernel's, in the same namespace, to make it a member of. Excludes `address`.",
  ),
});

const RING_SCHEMA: z.ZodType<number> = z
  .int()
  .min(1)
  .max(RING_MAX)
  .refine((size) => (size & (size - 1)) === 0, {
    error: ({ input }) => `must be a power of two: ${2 ** Math.round(Math.log2(Number(input)))}?`,
  });

export const TAP_SCHEMA: z.ZodType<TapConfig> = z.strictObject({
  id: z
    .int()
    .min(0)
    .max(TAP_ID_MAX)
    .optional()
    .describe('A number of its own among taps. Left out: the lowest that is free.'),
  host: HOST_SCHEMA.prefault({}).describe("The kernel's side."),
  queues: z
    .int()
    .min(1)
    .max(TAP_QUEUES_MAX)
    .default(1)
    .describe('Queues in each direction; each is served by a worker.'),
  ringSizes: z
    .strictObject({
      rx: RING_SCHEMA.default(RING_DEFAULT).describe('Frames received: a power of two.'),
      tx: RING_SCHEMA.default(RING_DEFAULT).describe('Frames sent: a power of two.'),
    })
    .prefault({})
    .describe('Entries of the virtqueues of the vhost-net backend, which alone has them.'),
  offload: z
    .enum(['gso', 'csum', 'none'])
    .default('none')
    .describe('What is left to whoever is at the other end: segmentation and checksums, checksums alone, or nothing.'),
  groCoalesce: z
    .boolean()
    .default(false)
    .describe(
      'Join TCP segments of one stream, where they come together, to large frames before they are sent: what comes from an interface without segmentation offload. Needs `offload: gso`.',
    ),
  persist: z.boolean().default(false).describe('The kernel keeps it when the engine ends.'),
  attach: z
    .boolean()
    .default(false)
    .describe('It is there already: use it, and leave it when the interface goes. Needs `host.name`.'),
  mode: z.enum(['tap', 'tun']).default('tap').describe('Ethernet frames, or IP packets alone.'),
  backend: z
    .enum(['auto', 'read-write', 'vhost-net'])
    .default('auto')
    .describe(
      'How frames are moved. `auto`: vhost-net where `/dev/vhost-net` can be opened, reading and writing otherwise, and always with `mode: tun` or a queue that is placed on a worker.',
    ),
  rxMode: RX_MODE_SCHEMA,
  placement: z
    .array(
      z
        .int()
        .min(0)
        .max(WORKERS_MAX - 1),
    )
    .default([])
    .describe(
      'The worker that serves each queue, in the order of queues. Worker 0 is the main thread, which serves those that are left out, too, and all of a TUN device or by vhost-net.',
    ),
});
