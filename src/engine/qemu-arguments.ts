/** What QEMU must be told to plug a machine's network device into our socket. */
import type { MacAddress } from '../base/address.ts';

/** For a stream socket (`-netdev stream`, QEMU 7.2 and newer). `mac`: left out, QEMU's choice. */
export function qemuArguments(path: string, mac?: MacAddress): string[] {
  const netdev = `stream,id=tapster,server=off,addr.type=unix,addr.path=${escaped(path)}`;
  return ['-netdev', netdev, '-device', networkDevice(mac)];
}

/** For a datagram socket (`-netdev dgram`, QEMU 7.2 and newer), whose other side QEMU binds at `qemuPath`. */
export function qemuDatagramArguments(path: string, qemuPath: string, mac?: MacAddress): string[] {
  const local = `local.type=unix,local.path=${escaped(qemuPath)}`;
  const netdev = `dgram,id=tapster,${local},remote.type=unix,remote.path=${escaped(path)}`;
  return ['-netdev', netdev, '-device', networkDevice(mac)];
}

/** For a vhost-user socket. The machine's memory must be shared besides: `qemu-memory.ts`. */
export function qemuVhostUserArguments(path: string, pairs: number, mac?: MacAddress): string[] {
  // As many vectors as these need is QEMU's own choice.
  const queues = pairs > 1 ? ',mq=on' : '';
  return [
    '-chardev',
    `socket,id=tapster,path=${escaped(path)},reconnect=1`,
    '-netdev',
    `vhost-user,id=tapster,chardev=tapster,queues=${pairs}`,
    '-device',
    `${networkDevice(mac)}${queues}`,
  ];
}

/** As a line that a shell takes. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

function networkDevice(mac: MacAddress | undefined): string {
  return `virtio-net-pci,netdev=tapster${mac === undefined ? '' : `,mac=${mac}`}`;
}

/** A comma ends a value, two stand for one. */
function escaped(path: string): string {
  return path.replaceAll(',', ',,');
}
