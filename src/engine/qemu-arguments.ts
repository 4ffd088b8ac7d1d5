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

/** As a line that a shell takes. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
