/**
 * The API socket of slirp4netns on a session's forwards. What is said there: `slirp4netns-api.ts`.
 *
 * Who connects may say one thing, and is answered when he has stopped writing. Who says nothing is cut off after `IDLE_MS`, and beyond `SLIRP_CLIENTS_MAX` nobody is
 * let in: the owner of the socket's folder decides who may connect, and that may be a container.
 */
import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { type IpAddress, ipv4Address } from '../../base/address.ts';
import { SLIRP_CLIENTS_MAX } from '../../base/limits.ts';
import { type Result, success } from '../../base/result.ts';
import type { Forwards } from '../../engine/forwards.ts';
import { startPathRemover } from '../../sys/path-remover.ts';
import { listenUnix } from '../../sys/unix-socket.ts';
import {
  type SlirpEntry,
  type SlirpForward,
  type SlirpReply,
  type SlirpRequest,
  SlirpRequestReader,
  writeSlirpReply,
} from './slirp4netns-api.ts';
import type { SlirpPlan } from './slirp4netns-options.ts';

const IDLE_MS = 30_000;

export interface SlirpServer {
  /** The path is gone when this returns. */
  close(): void;
}

/** Listens at the path. To be called before the sandbox. */
export function startSlirpServer(path: string, forwards: Forwards, plan: SlirpPlan): Result<SlirpServer> {
  const listener = listenUnix(path);
  if (!listener.ok) return listener;
  const remover = startPathRemover(path);
  if (!remover.ok) {
    closeSync(listener.value.fd);
    return remover;
  }
  const api = new SlirpForwards(forwards, plan);
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, api));
  server.maxConnections = SLIRP_CLIENTS_MAX;
  server.listen({ fd: listener.value.fd });
  return success({
    close: () => {
      server.close();
      remover.value.remove();
    },
  });
}

function serve(socket: Socket, api: SlirpForwards): void {
  const reader = new SlirpRequestReader();
  const answer = (): void => {
    const reading = reader.end();
    socket.end(writeSlirpReply(reading.ok ? api.execute(reading.request) : reading.reply));
  };
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => {});
  socket.on('end', answer);
  socket.on('data', (bytes) => {
    if (reader.push(bytes)) return;
    socket.removeAllListeners('data').removeListener('end', answer).resume();
    answer();
  });
}

/** Requests on forwards. */
class SlirpForwards {
  readonly #forwards: Pick<Forwards, 'add' | 'remove' | 'list'>;
  readonly #plan: SlirpPlan;

  constructor(forwards: Pick<Forwards, 'add' | 'remove' | 'list'>, plan: SlirpPlan) {
    this.#forwards = forwards;
    this.#plan = plan;
  }

  execute(request: SlirpRequest): SlirpReply {
    if (request.execute === 'add_hostfwd') return this.#add(request.forward);
    if (request.execute === 'list_hostfwd') return { kind: 'list', entries: this.#entries() };
    if (this.#forwards.remove(request.id)) return { kind: 'removed' };
    return { kind: 'error', description: `bad request: remove_hostfwd: there is no forward ${request.id}` };
  }

  #add({ protocol, hostAddress, hostPort, guestAddress, guestPort }: SlirpForward): SlirpReply {
    const rule = {
      address: hostAddress,
      interfaceName: undefined,
      firstPort: hostPort,
      lastPort: hostPort,
      toAddress: guestAddress ?? this.#plan.namespace,
      toPort: guestPort,
      weak: false,
    };
    const added = this.#forwards.add({ direction: 'in', protocol, rule });
    if (added.ok) return { kind: 'added', id: added.value.id };
    return { kind: 'error', description: `bad request: add_hostfwd: ${added.failure.message}` };
  }

  #entries(): SlirpEntry[] {
    return this.#forwards.list().map(({ id, protocol, rule }) => ({
      id,
      protocol,
      hostAddress: rule.address ?? ANY,
      hostPort: rule.firstPort,
      guestAddress: rule.toAddress ?? this.#plan.namespace,
      guestPort: rule.toPort,
    }));
  }
}

const ANY: IpAddress = ipv4Address(0);
