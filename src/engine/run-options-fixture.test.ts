/** `tapster run` with nothing asked for, for tests of what the engine makes of it; unconfined, for a test goes on in the same process. */
import type { RunOptions } from './run-options.ts';

export const OPTIONS: RunOptions = {
  command: [],
  root: false,
  interfaceName: 'eth0',
  families: 'both',
  addresses: [],
  gateways: [],
  mac: undefined,
  mtu: 65_520,
  configure: true,
  dns: 'forward',
  publish: [],
  hostLoopback: undefined,
  allowMetadata: false,
  tcp: true,
  udp: true,
  icmp: true,
  flowsMax: 65_536,
  pcapPath: undefined,
  flowsPath: undefined,
  summary: false,
  sandbox: false,
  verbosity: 'normal',
};
