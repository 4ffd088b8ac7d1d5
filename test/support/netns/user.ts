/**
 * Who runs Tapster in a test: root, or an ordinary user without any capability, as on a desktop: /dev/net/tun open to everyone, a home of one's own. The device is
 * opened, and the checkout and Node made reachable, in a private mount namespace: the machine's own stay as they are.
 */
import { fileURLToPath } from 'node:url';
import { SEARCH_PATH } from './programs.ts';

export type User = 'root' | 'user';

export const CHECKOUT: string = fileURLToPath(new URL('../../../../', import.meta.url));

/** "nobody": there on every Linux, and nothing belongs to it. */
export const USER_ID = 65_534;

/** Where the user finds things: a tmpfs on /mnt. A checkout in root's home would be out of reach otherwise. */
const USER_CHECKOUT = '/mnt/checkout/';
const USER_NODE = '/mnt/node';
const USER_HOME = '/mnt/home';

const BECOME_USER = `
set -e
mount -t tmpfs -o mode=755,dev tmpfs /mnt
mknod -m 666 /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
mkdir ${USER_CHECKOUT} && mount --bind "$1" ${USER_CHECKOUT}
touch ${USER_NODE} && mount --bind "$2" ${USER_NODE}
install -d -m 700 -o ${USER_ID} -g ${USER_ID} ${USER_HOME}
shift 2
exec setpriv --reuid ${USER_ID} --regid ${USER_ID} --clear-groups --inh-caps=-all --bounding-set=-all "$@"
`;

/** What comes before a program's words so that the user runs it. Each step replaces the one before: the process stays the same. */
export function asUser(user: User): readonly string[] {
  if (user === 'root') return [];
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', BECOME_USER, 'sh', CHECKOUT, process.execPath];
}

export function nodeOf(user: User): string {
  return user === 'root' ? process.execPath : USER_NODE;
}

/** A file of the checkout, as the user sees it. */
export function checkoutPath(user: User, path: string): string {
  return `${user === 'root' ? CHECKOUT : USER_CHECKOUT}${path}`;
}

export function environmentOf(user: User): Record<string, string> {
  return {
    PATH: SEARCH_PATH,
    HOME: user === 'root' ? '/root' : USER_HOME,
    USER: user === 'root' ? 'root' : 'nobody',
    SHELL: '/bin/sh',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
  };
}
