import * as make from '../nodes/packet-fixtures.test.ts';
import { ERRNO } from '../sys/errno.ts';
import { SOL, UDP } from '../sys/options.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { Bench, type BenchOptions, type GuestFrame } from './datagram-bench-fixture.test.ts';

export const SERVER = '192.0.2.1';
export const SERVER6 = '2001:db8:0:1::1';
export const FULL = { checksum: true, tcpSegmentation: true, udpSegmentation: true };
export const NEEDS_CSUM = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];

export let bench: Bench;
export let sys: SimulatedSys;

export function start(options: BenchOptions = {}, simulated: ConstructorParameters<typeof SimulatedSys>[0] = {}): void {
  sys = new SimulatedSys(simulated);
  bench = new Bench(sys, options);
}

/** Lets what is on its way arrive, and gives it to the guest. */
export function settle(): GuestFrame[] {
  sys.advance(0);
  for (let i = 0; i < 8; i++) bench.turn();
  return bench.taken();
}

export const numbers = (count: number, seed: number = 0): number[] =>
  Array.from({ length: count }, (_, i) => (seed + i * 7 + (i >> 8)) & 0xff);

export function datagram4(
  payload: make.Bytes,
  to: number[] = make.REMOTE4,
  fields: make.Ip4Fields = {},
  port: number = 53,
): number[] {
  return make.ethernet(0x800, make.ip4(17, make.udp(4000, port, payload, make.GUEST4, to), { to, ...fields }));
}

export function datagram6(payload: make.Bytes, fields: make.Ip6Fields = {}): number[] {
  return make.ethernet(0x86dd, make.ip6(17, make.udp(4000, 53, payload, make.GUEST6, make.REMOTE6), fields));
}

export function reply4(payload: make.Bytes, from: number[] = make.REMOTE4, port: number = 53): number[] {
  const udp = make.udp(port, 4000, payload, from, make.GUEST4);
  const packet = make.ip4(17, udp, { from, to: make.GUEST4, id: 0, fragment: 0x4000 });
  return [...make.GUEST_MAC, ...make.OUR_MAC, 8, 0, ...packet];
}

/** The answers of someone who only takes note. */
export function noted(_what: unknown): Uint8Array[] {
  return [];
}

/** The destinations of the bytes that the host sent and the way they were batched. */
export function spy(): { to: string; payload: number[]; ttl: number }[] {
  const sent: { to: string; payload: number[]; ttl: number }[] = [];
  const route = sys.network.route.bind(sys.network);
  sys.network.route = (socket, to, payload, ttl, trafficClass) => {
    sent.push({ to: `${to.address}:${to.port}`, payload: [...payload], ttl });
    route(socket, to, payload, ttl, trafficClass);
  };
  return sent;
}

/** A kernel without UDP_GRO. */
export function withoutMerging(): void {
  const set = sys.setOption.bind(sys);
  sys.setOption = (fd, level, name, value) =>
    level === SOL.UDP && name === UDP.GRO ? -ERRNO.ENOPROTOOPT : set(fd, level, name, value);
}

/** The payloads of a frame, which may be a super-packet. */
export function takenApart({ vnet, frame }: GuestFrame): number[][] {
  const payload = frame.slice(42);
  const segment = vnet[1] === 5 ? vnet[4] | (vnet[5] << 8) : payload.length;
  const pieces = [payload.slice(0, segment)];
  for (let at = segment; at < payload.length; at += segment) pieces.push(payload.slice(at, at + segment));
  return pieces;
}
