/** What moves frames between red and blue (`two-namespaces.ts`): engines of several configurations, and the C reference. */
import { fileURLToPath } from 'node:url';
import { compiled } from './compile.ts';
import { type Program, start } from './process.ts';
import { inside, type TwoNamespaces } from './two-namespaces.ts';

const ENGINE: string = fileURLToPath(new URL('./forward-engine.js', import.meta.url));

const GATEWAY_MAC = '02:00:00:00:00:01';
/** Who is behind blue's `eth0`, and blue itself, for the sake of small frames: see `c/forward-meter.c`. Nobody asks for them. */
const STATION_MAC = '02:00:00:00:00:03';
const BLUE_MAC = '02:00:00:00:00:04';
/** Longer than the queue that is filled, so that it takes all. */
const QUEUE_FRAMES_MAX = 4096;

export type Way = 'bridged' | 'routed';

/** Their addresses, and blue's in streams. */
const BLUE: Readonly<Record<Way, { readonly station: string; readonly own: string }>> = {
  bridged: { station: '10.0.0.3', own: '10.0.0.4' },
  routed: { station: '10.1.0.3', own: '10.1.0.4' },
};

export function addressesInBlue(way: Way): { readonly station: string; readonly own: string } {
  return BLUE[way];
}

/** Commands that make red and blue ready for small frames, once each has an `eth0`. */
export function frameScripts(way: Way): { readonly red: string; readonly blue: string } {
  const { station, own } = BLUE[way];
  const reach =
    way === 'bridged'
      ? `ip neigh add ${station} lladdr ${STATION_MAC} dev eth0; ip neigh add ${own} lladdr ${BLUE_MAC} dev eth0`
      : `ip neigh add 10.0.0.1 lladdr ${GATEWAY_MAC} dev eth0; ip route add 10.1.0.0/24 via 10.0.0.1`;
  return {
    red: `ip link set eth0 txqueuelen ${QUEUE_FRAMES_MAX} up; ip address add 10.0.0.2/24 dev eth0; ${reach}`,
    blue: `ip link set eth0 address ${BLUE_MAC} up; ip address add ${own}/24 dev eth0`,
  };
}

interface TapSettings {
  readonly offload?: 'gso';
  readonly queues?: number;
  readonly placement?: readonly number[];
}

/** For small frames. */
export function frameConfig(way: Way, { red, blue }: TwoNamespaces, tap: TapSettings = {}): unknown {
  const host = (process: number) => ({ name: 'eth0', namespace: `pid:${process}` });
  const taps = [
    { ...tap, host: host(red) },
    { ...tap, host: host(blue) },
  ] as const;
  if (way === 'bridged') return bridged(taps);
  return {
    ...routed(taps),
    neighbours: [
      { interface: 'tap1', address: BLUE.routed.station, mac: STATION_MAC },
      { interface: 'tap1', address: BLUE.routed.own, mac: BLUE_MAC },
    ],
  };
}

/** Red and blue have addresses, and offload all that there is: for streams. */
export function streamConfig(way: Way, { red, blue }: TwoNamespaces): unknown {
  const host = (process: number, address: string, gateway: string) => ({
    name: 'eth0',
    namespace: `pid:${process}`,
    address: [`${address}/24`],
    ...(way === 'routed' ? { gateway: [gateway] } : {}),
  });
  const taps = [
    { offload: 'gso', host: host(red, '10.0.0.2', '10.0.0.1') },
    { offload: 'gso', host: host(blue, BLUE[way].own, '10.1.0.1') },
  ] as const;
  return way === 'bridged' ? bridged(taps) : routed(taps);
}

function bridged([first, second]: readonly [unknown, unknown]): object {
  return {
    interfaces: { tap0: { tap: first, bridge: 'lan' }, tap1: { tap: second, bridge: 'lan' } },
    bridges: { lan: {} },
  };
}

function routed([first, second]: readonly [unknown, unknown]): object {
  return {
    interfaces: {
      tap0: { tap: first, mac: GATEWAY_MAC, address: ['10.0.0.1/24'] },
      tap1: { tap: second, address: ['10.1.0.1/24'] },
    },
  };
}

/** A running network in the yard; it says "ready". */
export function startEngine(config: unknown, { yard }: TwoNamespaces, limitMs: number): Program {
  return start(inside(yard, engineWords(config)), limitMs);
}

/** The same where we are. */
export function startConfigured(config: unknown, limitMs: number): Program {
  return start(engineWords(config), limitMs);
}

function engineWords(config: unknown): readonly string[] {
  return [process.execPath, ENGINE, JSON.stringify(config)];
}

/** Reads and writes, and nothing else; it says "ready". */
export function startReference({ yard, red, blue }: TwoNamespaces, limitMs: number): Program {
  return start(inside(yard, [compiled('forward-reference'), String(red), String(blue)]), limitMs);
}
