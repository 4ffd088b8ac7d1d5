/** What QEMU must be told to plug a machine's network device into our socket. */

import type { MacAddress } from '../base/address.ts';

/** For a stream socket (`-netdev stream`, QEMU 7.2 and newer). `mac`: left out, QEMU's choice. */
export function qemuArguments(path: string, mac?: MacAddress): string[] {
  // A comma ends a value, two stand for one.
  const escaped = path.replaceAll(',', ',,');
  return [
    '-netdev',
    `stream,id=tapster,server=off,addr.type=unix,addr.path=${escaped}`,
    '-device',
    `virtio-net-pci,netdev=tapster${mac === undefined ? '' : `,mac=${mac}`}`,
  ];
}

/**
 * For a vhost-user socket. The machine's memory must be shared besides, and be as much as `-m` says: `-object memory-backend-memfd,id=memory,share=on,size=1G -machine
 * memory-backend=memory`.
 */
export function qemuVhostUserArguments(path: string, pairs: number, mac?: MacAddress): string[] {
  const escaped = path.replaceAll(',', ',,');
  // Two vectors for each pair, one for the configuration, one for the control queue.
  const queues = pairs > 1 ? `,mq=on,vectors=${2 * pairs + 2}` : '';
  return [
    '-chardev',
    `socket,id=tapster,path=${escaped},reconnect=1`,
    '-netdev',
    `vhost-user,id=tapster,chardev=tapster,queues=${pairs}`,
    '-device',
    `virtio-net-pci,netdev=tapster${queues}${mac === undefined ? '' : `,mac=${mac}`}`,
  ];
}

/** As a line that a shell takes. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
