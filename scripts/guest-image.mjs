/**
 * What the guest test boots: Debian's kernel, and an initramfs of busybox, Node, some programs and the project as it is built.
 *
 * The kernel's package is downloaded with apt-get and unpacked, not installed. What only changes with the kernel or with Node is kept in a cache:
 * `$XDG_CACHE_HOME/tapster/guest`. The archive of the project is made anew each time and put behind it: the kernel unpacks both.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { root } from './setup.mjs';

/** The smaller one first; both have all modules. */
const KERNEL_PACKAGES = ['linux-image-cloud-amd64', 'linux-image-amd64'];
const MODULES = ['tun', 'vhost_net', 'veth', 'bridge', '8021q', 'dummy'];
/** Instead of those of busybox, which know less; and what starts programs there (sh, timeout) starts those of busybox before all others. */
const PROGRAMS = ['sh', 'ip', 'bridge', 'nstat', 'ping', 'nsenter', 'setpriv', 'timeout', 'unshare'];
/** Tests that need these are skipped without. */
const PROGRAMS_WANTED = ['ethtool'];
const NEEDED = ['qemu-system-x86_64', 'busybox', 'cpio', 'depmod', 'dpkg-deb', 'apt-get', ...PROGRAMS];
/** What the project loads to read a configuration, and the tests need. */
const PACKAGES = ['yaml', 'zod', 'fast-check', 'pure-rand'];
/** Tests that run on the machine too, and find more in the guest: vhost-net behind every tap, and VLAN devices. Below dist. */
const TESTS = ['link/vlan-kernel', 'test/network/vlan', 'test/network/loss', 'test/network/taps'].map(
  (name) => `${name}.test.js`,
);
const DOWNLOAD_TIMEOUT_MS = 180_000;

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tapster', 'guest');

/** Why no guest can be booted here. */
export class Unavailable extends Error {}

/** Paths of the kernel and of an initramfs that runs `/init`; `remove` deletes what was made for this run only. */
export function buildGuest() {
  const kernel = needKernel();
  const base = baseArchive(kernel);
  const folder = mkdtempSync(join(tmpdir(), 'tapster-guest-'));
  const initramfs = join(folder, 'initramfs');
  writeFileSync(initramfs, Buffer.concat([readFileSync(base), readFileSync(projectArchive(folder))]));
  return { kernel: kernel.image, initramfs, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** As small as a virtual machine can be: busybox, and the modules of a network device. `init` is what it does; the initramfs is written to `path`, with `programs` in its /bin and their libraries. Returns the kernel's path. */
export function buildSmallGuest(path, init, programs = []) {
  const kernel = needKernel();
  const folder = mkdtempSync(join(tmpdir(), 'tapster-vm-'));
  try {
    for (const name of ['dev', 'etc', 'proc', 'sys', 'tmp']) mkdirSync(join(folder, name));
    const paths = ['busybox', ...programs].map(needProgram);
    for (const path of paths) place(folder, realpathSync(path), `/bin/${basename(path)}`);
    for (const library of new Set(paths.flatMap(librariesOf))) place(folder, realpathSync(library), library);
    for (const module of modulesOf(kernel, ['virtio_pci', 'virtio_net', 'af_packet'])) {
      place(folder, join(kernel.folder, module), `/${module}`);
    }
    run('depmod', ['--basedir', folder, kernel.version]);
    writeFileSync(join(folder, 'init'), init, { mode: 0o755 });
    writeArchive(folder, path);
    return kernel.image;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function needKernel() {
  if (process.arch !== 'x64') throw new Unavailable(`the guest is made for x86-64; this machine is ${process.arch}`);
  const missing = NEEDED.filter((program) => findProgram(program) === undefined);
  if (missing.length > 0) throw new Unavailable(`not installed: ${missing.join(', ')}`);
  mkdirSync(cache, { recursive: true });
  return findKernel();
}

/** The kernel of the cache, or a downloaded one. */
function findKernel() {
  const kept = readdirSync(cache).find((name) => !name.startsWith('.') && existsSync(join(cache, name, 'boot')));
  return describeKernel(kept === undefined ? downloadKernel() : join(cache, kept));
}

function describeKernel(folder) {
  const version = readdirSync(join(folder, 'lib', 'modules'))[0];
  return { folder, version, image: join(folder, 'boot', `vmlinuz-${version}`) };
}

function downloadKernel() {
  const name = KERNEL_PACKAGES.map(packageOf).find((each) => each !== undefined);
  if (name === undefined) {
    throw new Unavailable(`apt knows no package ${KERNEL_PACKAGES.join(' or ')}: apt-get update, on Debian`);
  }
  const folder = mkdtempSync(join(cache, '.unfinished-'));
  try {
    // apt-get fetches as a user of its own, who must be able to write there.
    chmodSync(folder, 0o755);
    const options = ['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=2', '-o', 'Acquire::http::Timeout=30'];
    const got = spawnSync('apt-get', ['download', '--quiet=2', ...options, name], {
      cwd: folder,
      encoding: 'utf8',
      timeout: DOWNLOAD_TIMEOUT_MS,
    });
    const deb = readdirSync(folder).find((file) => file.endsWith('.deb'));
    if (got.status !== 0 || deb === undefined) {
      throw new Unavailable(`the kernel ${name} can not be downloaded: ${got.error?.message ?? got.stderr.trim()}`);
    }
    run('dpkg-deb', ['--extract', join(folder, deb), folder]);
    rmSync(join(folder, deb));
    // Since usrmerge modules may lie below usr.
    if (!existsSync(join(folder, 'lib'))) renameSync(join(folder, 'usr', 'lib'), join(folder, 'lib'));
    run('depmod', ['--basedir', folder, describeKernel(folder).version]);
    const finished = join(cache, name);
    renameSync(folder, finished);
    return finished;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** The package with a version in its name that a package for everybody's newest kernel depends on. */
function packageOf(name) {
  const { stdout } = spawnSync('apt-cache', ['depends', '--important', name], { encoding: 'utf8' });
  return /Depends: (linux-image-[\w.+-]+)/.exec(stdout ?? '')?.[1];
}

/** busybox, Node, programs, modules, /init: kept under a name that changes with them. */
function baseArchive(kernel) {
  const node = realpathSync(process.execPath);
  const programs = [...PROGRAMS, ...PROGRAMS_WANTED].flatMap((name) => findProgram(name) ?? []);
  const files = [findProgram('busybox'), node, ...programs];
  const hash = createHash('sha256').update(`${kernel.version} ${readFileSync(new URL(import.meta.url))}`);
  for (const path of files) hash.update(`${path} ${statSync(path).size} ${statSync(path).mtimeMs}\n`);
  const archive = join(cache, `base-${hash.digest('hex').slice(0, 16)}.cpio`);
  if (existsSync(archive)) return archive;
  for (const old of readdirSync(cache)) if (old.endsWith('.cpio')) rmSync(join(cache, old), { force: true });
  const folder = mkdtempSync(join(tmpdir(), 'tapster-guest-base-'));
  try {
    for (const name of ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'usr/bin', 'var']) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    for (const path of files) place(folder, path, `/usr/bin/${path === node ? 'node' : basename(path)}`);
    const libraries = new Set(files.flatMap(librariesOf));
    for (const path of libraries) place(folder, realpathSync(path), path);
    for (const path of modulesOf(kernel, MODULES)) place(folder, join(kernel.folder, path), `/${path}`);
    run('depmod', ['--basedir', folder, kernel.version]);
    writeFileSync(join(folder, 'init'), INIT, { mode: 0o755 });
    writeArchive(folder, `${archive}.unfinished`);
    renameSync(`${archive}.unfinished`, archive);
    return archive;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Everything else is mounted or linked once the guest runs. The test's words are printed between two marks. */
const INIT = `#!/usr/bin/busybox sh
/usr/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts; mount -t devpts pts /dev/pts; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; ln -s /run /var/run
for module in ${MODULES.join(' ')}; do modprobe $module || echo "no module $module"; done
ip link set lo up
hostname guest
cd /tapster
echo "@guest-up"
tests=$(echo "$tests" | tr , ' ')
test -n "$tests" || tests="$(find dist/test/guest/inside -name '*.test.js' | sort) ${TESTS.map((path) => `dist/${path}`).join(' ')}"
TAPSTER_GUEST=1 NO_COLOR=1 node --test --test-concurrency=1 --test-reporter=spec $tests
echo "@guest-exit $?"
poweroff -f
`;

function place(folder, from, to) {
  const path = join(folder, to);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  chmodSync(path, 0o755);
}

/** What ldd(1) names; nothing for a static program. */
function librariesOf(path) {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' });
  return [...(stdout ?? '').matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, library]) => library);
}

/** Paths of the modules and of all that they need, relative to the kernel's folder. */
function modulesOf({ folder, version }, names) {
  const below = join('lib', 'modules', version);
  const needs = new Map();
  for (const line of readFileSync(join(folder, below, 'modules.dep'), 'utf8')
    .trim()
    .split('\n')) {
    const [path, others = ''] = line.split(':');
    needs.set(
      basename(path)
        .replace(/\.ko.*/, '')
        .replaceAll('-', '_'),
      [path, ...others.trim().split(' ')],
    );
  }
  return new Set(
    names
      .flatMap((name) => needs.get(name) ?? [])
      .filter(Boolean)
      .map((path) => join(below, path)),
  );
}

/** The project as it is built: what runs, and the tests for inside. */
function projectArchive(folder) {
  const tree = join(folder, 'tree');
  const home = join(tree, 'tapster');
  mkdirSync(join(home, 'native', 'build', 'Release'), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(home, 'package.json'));
  const addon = join('native', 'build', 'Release', 'tapster.node');
  copyFileSync(join(root, addon), join(home, addon));
  const dist = join(root, 'dist');
  // What is left out: unit tests, and what only a debugger or a compiler reads.
  const filter = (path) => {
    const inside = relative(dist, path);
    const isUnitTest = !inside.startsWith('test/') && /(?<!-fixtures?)\.test\.js$/.test(inside);
    return (!isUnitTest || TESTS.includes(inside)) && inside !== 'bench' && !/\.(map|d\.ts|tsbuildinfo)$/.test(inside);
  };
  cpSync(dist, join(home, 'dist'), { recursive: true, filter });
  for (const name of PACKAGES) {
    const isLoaded = (path) => statSync(path).isDirectory() || /(\.c?js|package\.json)$/.test(path);
    cpSync(realpathSync(join(root, 'node_modules', name)), join(home, 'node_modules', name), {
      recursive: true,
      filter: isLoaded,
    });
  }
  const archive = join(folder, 'project.cpio');
  writeArchive(tree, archive);
  return archive;
}

function writeArchive(folder, archive) {
  run(
    'sh',
    ['-c', 'find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet >"$1"', 'sh', archive],
    folder,
  );
}

function run(program, words, cwd) {
  const { status, error, stderr } = spawnSync(program, words, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`);
}

/** The path of a program that has a name or a path. */
function needProgram(program) {
  const path = program.includes('/') ? program : findProgram(program);
  if (path === undefined) throw new Unavailable(`not installed: ${program}`);
  return path;
}

/** Also where administrators' programs are, which are not in everybody's PATH. */
function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
