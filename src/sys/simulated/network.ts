/**
 * The world around the simulated host: who answers at which address, which ports are taken, and the latency between them.
 *
 * A destination is looked for as `address:port`, then `address:*`, then `*:port`, then `*:*`. Where nothing is found, a stream is refused
 * and a datagram is answered with port unreachable.
 */
import type { IpAddress } from '../../base/address.ts';
import { isUnspecified } from '../../base/address.ts';
import { ERRNO } from '../errno.ts';
import type { SimulatedClock } from './clock.ts';
import type { DatagramSocket, SimulatedDatagram } from './datagram.ts';
import { type DatagramService, icmpError, PORT_UNREACHABLE, TTL_DEFAULT } from './datagram-service.ts';
import { type Endpoint, endpoint, familyOf, ipAddress, sourceTowards } from './endpoint.ts';
import { SimulatedPeer, type StreamService } from './peer.ts';
import { Pipe } from './pipe.ts';
import { isHeldBy, Ports } from './ports.ts';
import type { StreamSocket } from './stream.ts';

const PEER_RECEIVE_BYTES = 64 * 1024;
/** How long Linux sends SYNs before it gives up (tcp_syn_retries 6). */
const CONNECT_TIMEOUT_US = 130_000_000;
const BACKLOG_RETRY_US = 1_000_000;
const BACKLOG_RETRIES = 6;
export class SimulatedNetwork {
  /** One way, for whoever does not say otherwise. */
  latencyUs: number;
  readonly ports: Ports = new Ports();
  /** Every connection ever made or tried, oldest first. */
  readonly peers: SimulatedPeer[] = [];
  readonly #clock: SimulatedClock;
  readonly #streams = new Map<string, StreamService>();
  readonly #datagrams = new Map<string, DatagramService>();
  readonly #pings = new Map<string, DatagramService>();
  readonly #listeners = new Set<StreamSocket>();
  readonly #receivers = new Set<DatagramSocket>();

  constructor(clock: SimulatedClock, latencyUs: number) {
    this.#clock = clock;
    this.latencyUs = latencyUs;
  }

  // --- what a test says about the world; `*` stands for every address or port ---

  stream(address: string, port: number | '*', service: StreamService): void {
    this.#streams.set(serviceKey(address, port), service);
  }

  datagram(address: string, port: number | '*', service: DatagramService): void {
    this.#datagrams.set(serviceKey(address, port), service);
  }

  ping(address: string, service: DatagramService): void {
    this.#pings.set(serviceKey(address, '*'), service);
  }

  /** Somebody connects to a listening socket of the host. Look at the peer's `state` after a round trip. */
  call(to: Endpoint, from: Endpoint, service: StreamService = {}): SimulatedPeer {
    const peer = this.#makePeer(service, from, to);
    this.#clock.after(this.#latency(service), () => this.#ring(peer, to, BACKLOG_RETRIES));
    return peer;
  }

  /** Somebody sends a datagram to a bound socket of the host. */
  send(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const datagram = { from, payload: payload.slice(), segmentBytes: 0, ttl: TTL_DEFAULT, trafficClass: 0 };
    this.#clock.after(this.latencyUs, () => {
      for (const socket of this.#receivers) {
        if (!socket.accepts(to, from)) continue;
        socket.deliver(datagram);
        return;
      }
    });
  }

  // --- what the sockets ask for ---

  listen(socket: StreamSocket): void {
    this.#listeners.add(socket);
  }

  unlisten(socket: StreamSocket): void {
    this.#listeners.delete(socket);
  }

  addReceiver(socket: DatagramSocket): void {
    this.#receivers.add(socket);
  }

  removeReceiver(socket: DatagramSocket): void {
    this.#receivers.delete(socket);
  }

  connect(socket: StreamSocket, to: Endpoint): number {
    const service = find(this.#streams, to) ?? { outcome: 'refuse' };
    const outcome = service.outcome ?? 'accept';
    if (outcome === 'no-route') return -ERRNO.ENETUNREACH;
    socket.state = 'connecting';
    socket.remote = to;
    const peer = this.#makePeer(service, to, socket.local);
    const roundTripUs = 2 * this.#latency(service);
    const delayUs = service.connectDelayUs ?? (outcome === 'timeout' ? CONNECT_TIMEOUT_US : roundTripUs);
    this.#clock.after(delayUs, () => {
      if (!socket.open) return;
      if (outcome === 'accept') {
        peer.connected(socket);
        return;
      }
      peer.refused();
      socket.fail(connectErrno(outcome));
    });
    return -ERRNO.EINPROGRESS;
  }

  /** One datagram or echo request on its way. */
  route(socket: DatagramSocket, to: Endpoint, payload: Uint8Array, ttl: number, trafficClass: number): void {
    const service = find(socket.isPing ? this.#pings : this.#datagrams, to);
    const delayUs = service?.delayUs ?? 2 * this.latencyUs;
    const failure = service === undefined ? icmpError(PORT_UNREACHABLE, to) : this.#failure(service, to, payload, ttl);
    this.#clock.after(delayUs, () => {
      if (failure !== undefined) socket.fail(failure, to, payload);
      else this.#answer(socket, service!, to, payload, trafficClass);
    });
  }

  #answer(socket: DatagramSocket, service: DatagramService, to: Endpoint, payload: Uint8Array, trafficClass: number) {
    for (const answer of service.answer?.(payload, socket.local, trafficClass) ?? []) {
      const datagram: SimulatedDatagram = {
        from: service.answersFrom ?? to,
        payload: answer.slice(),
        segmentBytes: 0,
        ttl: service.answerTtl ?? TTL_DEFAULT,
        trafficClass: 0,
      };
      socket.deliver(datagram);
    }
  }

  #failure(service: DatagramService, to: Endpoint, payload: Uint8Array, ttl: number) {
    const router = service.routers?.[ttl - 1];
    if (router !== undefined) return icmpError('time-exceeded', { address: ipAddress(router), port: 0, scope: 0 });
    if (service.mtuBytes !== undefined && payload.length > service.mtuBytes) {
      return { ...icmpError('too-big', to), info: service.mtuBytes };
    }
    if (service.error === undefined) return undefined;
    const offender = service.errorFrom === undefined ? to : endpoint(service.errorFrom, 0);
    return icmpError(service.error, offender, familyOf(to.address));
  }

  #makePeer(service: StreamService, address: Endpoint, caller: Endpoint): SimulatedPeer {
    const latencyUs = this.#latency(service);
    const unbounded = Number.POSITIVE_INFINITY;
    const out = new Pipe(this.#clock, latencyUs, unbounded, 0);
    const inward = new Pipe(this.#clock, latencyUs, 0, service.receiveBytesMax ?? PEER_RECEIVE_BYTES);
    const peer = new SimulatedPeer(this.#clock, latencyUs, service, address, caller, out, inward);
    this.peers.push(peer);
    return peer;
  }

  #ring(peer: SimulatedPeer, to: Endpoint, retries: number): void {
    const listener = [...this.#listeners].find((socket) => isHeldBy(socket.local, to));
    if (listener === undefined || retries === 0) peer.refused();
    else if (!listener.offer(peer)) {
      this.#clock.after(BACKLOG_RETRY_US, () => this.#ring(peer, to, retries - 1));
    }
  }

  #latency(service: StreamService): number {
    return service.latencyUs ?? this.latencyUs;
  }
}

/** The address that a socket which was bound to none gets on its way to `to`. */
export function localTowards(local: Endpoint, to: IpAddress): Endpoint {
  return isUnspecified(local.address) ? { ...local, address: sourceTowards(to) } : local;
}

function connectErrno(outcome: 'refuse' | 'unreachable' | 'timeout'): number {
  if (outcome === 'refuse') return ERRNO.ECONNREFUSED;
  return outcome === 'unreachable' ? ERRNO.EHOSTUNREACH : ERRNO.ETIMEDOUT;
}

function serviceKey(address: string, port: number | '*'): string {
  return address === '*' ? `*:${port}` : `${ipAddress(address)}:${port}`;
}

function find<Service>(services: Map<string, Service>, to: Endpoint): Service | undefined {
  const address = to.address.toString();
  return (
    services.get(`${address}:${to.port}`) ??
    services.get(`${address}:*`) ??
    services.get(`*:${to.port}`) ??
    services.get('*:*')
  );
}
