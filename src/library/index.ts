/** What `import 'tapster'` gives. Each name is documented where it is defined. */
// biome-ignore-all lint/performance/noBarrelFile: this is the package's surface
export {
  type IpAddress,
  type IpPrefix,
  type MacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '../base/address.ts';
export type { Failure, Result } from '../base/result.ts';
