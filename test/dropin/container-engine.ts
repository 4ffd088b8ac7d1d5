/**
 * Podman and its like on the host of the lab, as root or as an ordinary user, with containers made of busybox: no registry, no image. What it needs of a machine that the test does not have lies in
 * a mount namespace of its own: cgroups of version 2, the host's resolv.conf, user and group IDs for nobody, devices.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeShims } from '#tapster/cli/dropin/shims.js';
import type { Lab } from '../support/netns/lab.ts';
import { Program, type StartOptions } from '../support/netns/process.ts';
import { SEARCH_PATH } from '../support/netns/programs.ts';
import { CHECKOUT, checkoutPath, nodeOf, USER_ID } from '../support/netns/user.ts';

/** Applets of busybox that containers of these tests use. */
const APPLETS = ['sh', 'cat', 'echo', 'head', 'httpd', 'ip', 'nc', 'nslookup', 'sha256sum', 'sleep', 'wget'];

/**
 * `$1`: the host's namespace, `$2`: a folder of the test's, `$3`: the checkout, `$4`: Node, `$5`: the user's ID; then the words. Tools that map IDs are set-user-ID, and so
 * the user keeps a bounding set, unlike elsewhere in the tests.
 */
const ENTER = `
set -e
host=$1 folder=$2 checkout=$3 node=$4 uid=$5
shift 5
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /etc/netns/$host/resolv.conf /etc/resolv.conf
if [ $uid != 0 ]; then
  mount -t tmpfs -o mode=755,dev tmpfs /mnt
  mknod -m 666 /mnt/tun c 10 200
  mount --bind /mnt/tun /dev/net/tun
  install -d -m 700 -o $uid -g $uid /mnt/run
  mkdir /mnt/checkout && mount --bind "$checkout" /mnt/checkout
  touch /mnt/node && mount --bind "$node" /mnt/node
  mount --bind $folder/ids /etc/subuid
  mount --bind $folder/ids /etc/subgid
fi
exec nsenter --net=/run/netns/$host setpriv --reuid $uid --regid $uid --clear-groups "$@"
`;

export class ContainerEngine {
  readonly #lab: Lab;
  readonly #folder: string;

  constructor(lab: Lab) {
    this.#lab = lab;
    const folder = lab.newPath('containers');
    this.#folder = folder;
    const root = join(folder, 'root');
    for (const each of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'run', 'www']) {
      mkdirSync(join(root, each), { recursive: true });
    }
    copyFileSync(busybox(), join(root, 'bin/busybox'));
    for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
    writeFileSync(join(root, 'www/index.html'), 'hello from the container\n');
    writeFileSync(join(folder, 'ids'), 'nobody:100000:65536\n');
    writeShims(join(folder, 'shims'), { node: nodeOf(lab.user), script: checkoutPath(lab.user, 'dist/cli/main.js') });
    const settings = [
      `network_cmd_path = "${this.slirp4netns}"`,
      'cgroup_manager = "cgroupfs"',
      'events_logger = "none"',
    ];
    writeFileSync(join(folder, 'containers.conf'), ['[engine]', ...settings, ''].join('\n'));
    mkdirSync(join(folder, 'home'), { mode: 0o700 });
    if (lab.user === 'user') spawnSync('chown', ['-R', `${USER_ID}:${USER_ID}`, folder]);
    chmodSync(folder, 0o755);
  }

  /** Tapster, as container engines start it. */
  get slirp4netns(): string {
    return join(this.#folder, 'shims/slirp4netns');
  }

  /** Pages that a web server in a container, or beside one, can serve. */
  get www(): string {
    return join(this.#folder, 'root/www');
  }

  /** `podman run OPTIONS --rootfs ... COMMAND`. */
  run(options: readonly string[], command: readonly string[], how: StartOptions = {}): Program {
    const words = ['run', '--rm', '--cgroups=disabled', '--ulimit=nofile=1024:1024', '--ulimit=nproc=500:500'];
    const storage = [
      '--storage-driver=vfs',
      `--root=${this.#folder}/home/storage`,
      `--runroot=${this.#folder}/home/run`,
    ];
    const root = join(this.#folder, 'root');
    return this.start(['podman', ...storage, ...words, ...options, '--rootfs', root, ...command], how);
  }

  /** Any other program that makes containers. */
  start(words: readonly string[], how: StartOptions = {}): Program {
    const { internet, user } = this.#lab;
    const id = user === 'root' ? 0 : USER_ID;
    const enter = ['sh', '-c', ENTER, 'sh', internet.host, this.#folder, CHECKOUT, process.execPath, String(id)];
    return new Program(['unshare', '--mount', '--propagation', 'private', ...enter, ...words], {
      env: {
        PATH: SEARCH_PATH,
        HOME: join(this.#folder, 'home'),
        XDG_RUNTIME_DIR: user === 'root' ? '/run' : '/mnt/run',
        CONTAINERS_CONF: join(this.#folder, 'containers.conf'),
        USER: user === 'root' ? 'root' : 'nobody',
      },
      cwd: '/',
      ...how,
    });
  }
}

function busybox(): string {
  return ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))!;
}
