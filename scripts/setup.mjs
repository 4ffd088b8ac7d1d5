/**
 * Brings a checkout up to date: dependencies, the native addon, TypeScript. `npm start`, `npm test` and `npm run build` call it; each step is left out
 * when nothing has changed, and with nothing to do at all it takes a few milliseconds: a stamp holds the modification times of all sources.
 *
 * What it says goes to the standard error, because the standard output of `npm start -- COMMAND` belongs to the command.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const LOCK = join(root, 'package-lock.json');
const INSTALLED_LOCK = join(root, 'node_modules', '.package-lock.json');
const INSTALLED_STAMP = join(root, 'node_modules', '.tapster-setup');
/** What a build makes and everybody needs: where one is missing, the stamp means nothing. */
const PRODUCTS = ['native/build/Release/tapster.node', 'dist/cli/main.js', 'dist/bin/tapster.js'].map((path) =>
  join(root, path),
);
/** What a build reads. */
const SOURCES = ['src', 'test', 'bench', 'native'];
const SOURCE_FILES = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.base.json'];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

/** The TypeScript project of each target: the program with all that it imports; and everything, tests and benchmarks too. */
const PROJECTS = { program: join(root, 'src', 'cli'), all: root };

if (process.argv[1] === fileURLToPath(import.meta.url)) setup('all');

/** `target`: a name of `PROJECTS`. Ends the process with a message when a step fails. */
export function setup(target) {
  if (process.platform !== 'linux') stop(`Tapster runs on Linux only; this is ${process.platform}.`);
  if (major < 20 || (major === 20 && minor < 20))
    stop(`Tapster needs Node 20.20 or newer; this is ${process.version}.`);
  install();
  const stamp = sourcesStamp();
  const stampPath = join(root, 'dist', `.setup-${target}`);
  if (PRODUCTS.every((path) => existsSync(path)) && readIfThere(stampPath) === stamp) return;
  build(PROJECTS[target]);
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(stampPath, stamp);
}

/** Installs what package-lock.json names, when it is not what was installed last. */
function install() {
  const wanted = createHash('sha256').update(readFileSync(LOCK)).digest('hex');
  if (readIfThere(INSTALLED_STAMP) === wanted && existsSync(INSTALLED_LOCK)) return;
  // Somebody may have called npm by hand: what it installed is as new as the lock file.
  const installedByHand = existsSync(INSTALLED_LOCK) && statSync(INSTALLED_LOCK).mtimeMs >= statSync(LOCK).mtimeMs;
  if (!installedByHand) {
    say('installing the dependencies (npm install)');
    // `--no-save` takes what the lock file names and leaves that file alone, as `npm ci` does; but `npm ci` refuses a registry or lock file that lacks optional
    // packages of platforms that are not ours. The addon is built below, where its messages can be seen, and no dependency has an install script that we need.
    const [program, ...first] = npmCommand();
    const options = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const result = spawnSync(program, [...first, ...options], { cwd: root, stdio: ['ignore', 2, 2] });
    if (result.error?.code === 'ENOENT') stop('npm is missing. On Debian: apt-get install npm');
    if (result.status !== 0) {
      stop(
        "the dependencies could not be installed (npm's own words stand above).",
        'They come over the network once; after that none is needed. Behind a proxy: npm config set proxy URL',
      );
    }
  }
  writeFileSync(INSTALLED_STAMP, wanted);
}

/** The npm that started us, or the one in PATH. */
function npmCommand() {
  const running = process.env.npm_execpath;
  return running?.endsWith('.js') && existsSync(running) ? [process.execPath, running] : ['npm'];
}

function build(project) {
  say('building');
  // build.mjs says itself what is missing.
  step([join(root, 'native', 'build.mjs')], 'the native addon could not be built.');
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  step([compiler, '-b', project], 'the TypeScript sources have errors; they stand above.');
  chmodSync(join(root, 'dist', 'cli', 'main.js'), 0o755);
  step([join(root, 'scripts', 'bundle.mjs')], 'the command could not be bundled into dist/bin.');
}

function step(words, failureText) {
  const result = spawnSync(process.execPath, words, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) stop(failureText);
}

/** Changes when a source is added, removed or written, or Node is another. */
function sourcesStamp() {
  const hash = createHash('sha256').update(process.version);
  for (const folder of SOURCES) addFolder(hash, join(root, folder));
  for (const name of SOURCE_FILES) addFile(hash, join(root, name));
  return hash.digest('hex');
}

function addFolder(hash, folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && path !== join(root, 'native', 'build')) addFolder(hash, path);
    else if (entry.isFile()) addFile(hash, path);
  }
}

function addFile(hash, path) {
  const { mtimeMs, size } = statSync(path);
  hash.update(`${path} ${mtimeMs} ${size}\n`);
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function say(text) {
  process.stderr.write(`tapster: ${text}\n`);
}

function stop(...lines) {
  for (const line of lines) say(line);
  process.exit(1);
}
