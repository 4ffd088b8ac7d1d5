/** Routes, and where they lead: see `hop.ts`. Hops of a list share the flows; `{ via: 10.0.0.2, weight: 3 }` has three times the share of one without a weight. */
import { z } from 'zod';
import { NEXT_HOP_WEIGHT_MAX } from '../base/limits.ts';
import type { Hop, NeighbourConfig, RouteConfig } from './config.ts';
import { formatHop, PORT_NAME, readHop } from './hop.ts';
import { ADDRESS_SCHEMA, MAC_SCHEMA, NETWORK_SCHEMA } from './text-values.ts';

const HOPS_MAX = 64;
const RIGHT = 'must be an address, ADDRESS%INTERFACE, the name of an interface, "uplink" or "drop"';

type WrittenHop = string | { readonly via: string; readonly weight: number };

const WRITTEN_SCHEMA: z.ZodType<string> = z.string({ error: RIGHT }).meta({ examples: ['uplink', '10.0.0.2'] });

const WEIGHTED_SCHEMA: z.ZodType<{ via: string; weight: number }> = z.strictObject({
  via: WRITTEN_SCHEMA,
  weight: z.int().min(1).max(NEXT_HOP_WEIGHT_MAX).default(1),
});

const VIA_SCHEMA: z.ZodType<readonly Hop[]> = z.codec(
  z.union([
    WRITTEN_SCHEMA,
    z
      .array(z.union([WRITTEN_SCHEMA, WEIGHTED_SCHEMA]))
      .min(1)
      .max(HOPS_MAX),
  ]),
  z.custom<readonly Hop[]>(),
  {
    decode: (written, context) => {
      const hops: Hop[] = [];
      const list: readonly WrittenHop[] = typeof written === 'string' ? [written] : written;
      list.forEach((each, index) => {
        const [text, weight] = typeof each === 'string' ? [each, 1] : [each.via, each.weight];
        const hop = readHop(text, weight);
        if (hop !== undefined) hops.push(hop);
        else {
          const path = typeof written === 'string' ? [] : typeof each === 'string' ? [index] : [index, 'via'];
          context.issues.push({ code: 'custom', message: RIGHT, input: text, path });
        }
      });
      return hops;
    },
    encode: (hops) => {
      const [first] = hops;
      if (hops.length === 1 && first?.weight === 1) return formatHop(first);
      return hops.map((hop) => (hop.weight === 1 ? formatHop(hop) : { via: formatHop(hop), weight: hop.weight }));
    },
  },
) as unknown as z.ZodType<readonly Hop[]>;

export const ROUTE_SCHEMA: z.ZodType<RouteConfig> = z.strictObject({
  to: NETWORK_SCHEMA.describe('The network that it leads to.'),
  via: VIA_SCHEMA.describe(
    'Where it leads: an address, `ADDRESS%INTERFACE`, an interface, `uplink` or `drop`; or a list of these, each alone or as `{ via, weight }`, that share the flows.',
  ),
});

export const NEIGHBOUR_SCHEMA: z.ZodType<NeighbourConfig> = z.strictObject({
  interface: portName().describe('The interface that it is behind.'),
  address: ADDRESS_SCHEMA.describe('Its address.'),
  mac: MAC_SCHEMA.describe('Its MAC address; it is never asked for.'),
});

function portName(): z.ZodType<string> {
  return z.string().regex(PORT_NAME, { error: 'must be the name of an interface' });
}
