/** The `stream`, `datagram` and `vhostUser` of an interface: sockets of ours that virtual machines are plugged into. */
import { z } from 'zod';
import { SOCKET_PATH_BYTES_MAX, VHOST_USER_PAIRS_MAX } from '../base/limits.ts';
import type { DatagramConfig, StreamConfig, VhostUserConfig } from './config.ts';
import { RX_MODE_SCHEMA } from './rx-mode-schema.ts';

const PATH_SCHEMA: z.ZodType<string, string> = z
  .string()
  .regex(/^\/[^\0]+$/, { error: 'must be an absolute path, as /run/tapster/vm0.sock' })
  .refine((path) => new TextEncoder().encode(path).length <= SOCKET_PATH_BYTES_MAX, {
    error: `is too long for a socket: ${SOCKET_PATH_BYTES_MAX} bytes are the most`,
  });

const SOCKET_SCHEMA: z.ZodType<string, string> = PATH_SCHEMA.describe(
  'Where to listen, for one machine at a time. One that nobody listens at any more is replaced.',
);

export const STREAM_SCHEMA: z.ZodType<StreamConfig> = z.strictObject({ socket: SOCKET_SCHEMA });

export const DATAGRAM_SCHEMA: z.ZodType<DatagramConfig> = z.strictObject({
  socket: PATH_SCHEMA.describe(
    "Where the machine sends to: QEMU's `remote.path`. One that nobody has any more is replaced.",
  ),
  peer: PATH_SCHEMA.describe(
    "Where the machine is, for the same user: QEMU's `local.path`. Whoever binds it anew takes the place of who had it.",
  ),
});

export const VHOST_USER_SCHEMA: z.ZodType<VhostUserConfig> = z.strictObject({
  socket: SOCKET_SCHEMA,
  queues: z
    .int()
    .min(1)
    .max(VHOST_USER_PAIRS_MAX)
    .default(1)
    .describe('Pairs of queues that the machine may use: flows are spread over them.'),
  rxMode: RX_MODE_SCHEMA,
});
