/** From the flags of `tapster guest` to the value that a session takes. */
import { join } from 'node:path';
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
}

/** Throws a UsageError for flags that contradict each other. */
export function toGuestOptions(
  command: readonly string[],
  flags: GuestFlags,
  environment: NodeJS.ProcessEnv = process.env,
): GuestOptions {
  const { socket, connect, fd, dgram, vhostUser, queues, oneOff, ...others } = flags;
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
  return {
    ...toRunOptions(command, others),
    anyClient: flags.mac === undefined,
    socket: first === undefined ? series(environment) : socket,
    connectPath: connect,
    fd,
    vhostUserPairs: vhostUser === undefined ? 0 : (queues ?? 1),
    datagrams: dgram !== undefined,
    oneOff: oneOff ?? false,
  };
}

function series(environment: NodeJS.ProcessEnv): GuestSockets {
  const { XDG_RUNTIME_DIR: runtime } = environment;
  if (runtime === undefined && process.getuid!() !== 0) {
    throw new UsageError('XDG_RUNTIME_DIR is not set, so there is no folder for the socket', 'Give one: --socket PATH');
  }
  const folder = process.getuid!() === 0 ? '/run/tapster' : join(runtime!, 'tapster');
  return { pathOf: (number) => join(folder, `guest-${number}.sock`) };
}
