/** From the flags of `tapster guest` to the value that a session takes. */
import { join, resolve } from 'node:path';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { socketFolder } from '../control/engine-name.ts';
import type { RxMode } from '../engine/event-loop.ts';
import type { GuestOptions, GuestSockets } from '../engine/guest-options.ts';
import { type RunFlags, toRunOptions } from './run-options.ts';
import { UsageError } from './usage-error.ts';

export interface GuestFlags extends Omit<RunFlags, 'root' | 'ifname' | 'noConfig' | 'noDns'> {
  readonly socket?: string;
  readonly connect?: string;
  readonly fd?: number;
  readonly dgram?: true;
  readonly vhostUser?: true;
  readonly queues?: number;
  readonly oneOff?: true;
  readonly rxMode?: RxMode;
}

/** Throws a UsageError for flags that contradict each other. */
export function toGuestOptions(
  command: readonly string[],
  flags: GuestFlags,
  environment: NodeJS.ProcessEnv = process.env,
): GuestOptions {
  const { socket, connect, fd, dgram, vhostUser, queues, oneOff, rxMode, ...others } = flags;
  if (queues !== undefined && vhostUser === undefined) {
    throw new UsageError(
      '--queues without --vhost-user: a stream or datagram socket has one',
      'Leave it out, or give --vhost-user.',
    );
  }
  if (dgram !== undefined && (vhostUser !== undefined || connect !== undefined)) {
    throw vhostUser === undefined
      ? new UsageError(
          '--dgram with --connect: nobody listens at a datagram socket',
          'Give --socket, where Tapster is to be found; QEMU is told of its own path.',
        )
      : new UsageError('--dgram with --vhost-user: these are different sockets', 'Leave one of them out.');
  }
  const given = { '--fd': fd, '--connect': connect, '--socket': socket };
  const [first, second] = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (second !== undefined || (first !== undefined && first !== '--socket' && command.length > 0)) {
    throw new UsageError(
      `${first} with ${second ?? 'a command'}: the guest is there already`,
      'Leave one of them out.',
    );
  }
  const path = socket === undefined ? undefined : absolute(socket);
  return {
    ...toRunOptions(command, others),
    anyClient: flags.mac === undefined,
    socket: first === undefined ? series(environment) : path,
    connectPath: connect,
    fd,
    vhostUserPairs: vhostUser === undefined ? 0 : (queues ?? 1),
    datagrams: dgram !== undefined,
    oneOff: oneOff ?? false,
    rxMode: rxMode ?? 'adaptive',
  };
}

function series(environment: NodeJS.ProcessEnv): GuestSockets {
  const folder = socketFolder(environment);
  if (!folder.ok) throw new UsageError(folder.failure.message);
  return { pathOf: (number) => join(folder.value, `guest-${number}.sock`) };
}

/** Whoever copies what QEMU must be told may start it elsewhere. A path that only fits as it was given stays that. */
function absolute(path: string): string {
  const whole = resolve(path);
  return Buffer.byteLength(whole) <= SOCKET_PATH_BYTES_MAX ? whole : path;
}
