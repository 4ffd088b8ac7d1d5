/** Device files: /dev/net/tun, which everything needs, and /dev/vhost-net. */
import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs';
import type { Check } from './check.ts';

const TUN_PATH = '/dev/net/tun';
const VHOST_NET_PATH = '/dev/vhost-net';

export function probeTunDevice(path: string = TUN_PATH): Check {
  const id = 'tun-device';
  const title = 'TUN device';
  const without = '"tapster run" can not make its interface';
  const problem = whyNotOpened(path);
  if (problem === undefined) return { id, title, status: 'ok', found: `${path} (${modeOf(path)}) opens` };
  const found = `${path}: ${problem}`;
  return { id, title, status: 'missing', found, without, fix: tunFix(problem, path) };
}

export function probeVhostNet(path: string = VHOST_NET_PATH): Check {
  const id = 'vhost-net';
  const title = 'vhost-net';
  const problem = whyNotOpened(path);
  if (problem === undefined) return { id, title, status: 'ok', found: `${path} opens` };
  // Nothing uses it yet for a command: a fact, and no warning.
  const fix = problem === 'ENOENT' ? 'modprobe vhost_net  (as root)' : `chmod 0666 ${path}  (as root)`;
  return { id, title, status: 'info', found: `${path}: ${problem}; not needed for "tapster run"`, fix };
}

function tunFix(problem: string, path: string): string {
  if (problem === 'ENOENT' || problem === 'ENODEV' || problem === 'ENXIO') {
    return `modprobe tun; in a container: --device ${path}  (as root)`;
  }
  return `chmod 0666 ${path}  (as root; every user may open it on an ordinary Linux)`;
}

function whyNotOpened(path: string): string | undefined {
  try {
    accessSync(path, constants.F_OK);
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

function modeOf(path: string): string {
  return `0${(statSync(path).mode & 0o777).toString(8)}`;
}
