/**
 * Builds the native addon: `node native/build.mjs [--force]`. Does nothing when what is there was built from the same sources for the
 * same Node; says nothing when all goes well.
 *
 * node-gyp does it, npm's own or another. Where Python is missing, which node-gyp needs and this addon does not, the compiler is called directly
 * with what `binding.gyp` says (it is kept as plain JSON for this).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const addonPath = join(folder, 'build', 'Release', 'tapster.node');
const stampPath = join(folder, 'build', 'stamp');
const prefix = dirname(dirname(realpathSync(process.execPath)));
const headers = join(prefix, 'include', 'node');
const hasHeaders = existsSync(join(headers, 'node_api.h'));

process.exitCode = build();

function build() {
  if (process.platform !== 'linux') return fail(`Tapster runs on Linux only; this is ${process.platform}.`);
  const stamp = fingerprint();
  if (process.argv.includes('--force')) rmSync(dirname(addonPath), { recursive: true, force: true });
  else if (existsSync(addonPath) && readStamp() === stamp) return 0;

  const compiler = process.env.CC?.split(' ')[0] ?? ['gcc', 'cc', 'clang'].find(findProgram);
  const missing = [];
  if (compiler === undefined || findProgram(compiler) === undefined) missing.push('gcc');
  const gyp = findPython() === undefined ? undefined : findNodeGyp();
  if (gyp === undefined && !hasHeaders) missing.push('python3', 'npm');
  if ((gyp !== undefined || !hasHeaders) && findProgram(process.env.MAKE ?? 'make') === undefined) missing.push('make');
  if (missing.length > 0) return failMissing(missing);

  const outcome = gyp === undefined ? compile(compiler) : runNodeGyp(gyp, compiler);
  if (outcome.status !== 0 || !existsSync(addonPath)) {
    const output = [outcome.error?.message, outcome.stdout, outcome.stderr].filter(Boolean).join('\n');
    return fail(`${output}\nThe native addon could not be built; what the compiler said stands above.`);
  }
  writeFileSync(stampPath, stamp);
  return 0;
}

/** What the result depends on: every source, and the Node that it is for. */
function fingerprint() {
  const hash = createHash('sha256').update(`${process.arch} ${process.versions.modules} ${headers}\n`);
  const sources = readdirSync(folder).filter((name) => /\.([ch]|gyp)$/.test(name));
  for (const name of sources.sort()) hash.update(`${name}\n`).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}

function readStamp() {
  return existsSync(stampPath) ? readFileSync(stampPath, 'utf8') : undefined;
}

/** Configures and builds, without cleaning first: whoever runs Tapster meanwhile keeps the addon that is there. */
function runNodeGyp(gyp, compiler) {
  const options = ['--directory', folder, '--loglevel', 'error'];
  if (hasHeaders && process.env.npm_config_nodedir === undefined) options.push('--nodedir', prefix);
  // gyp links with the C++ compiler unless told otherwise, and there is no C++ here.
  const CC = process.env.CC ?? compiler;
  const environment = { ...process.env, CC, LINK: process.env.LINK ?? CC };
  const configured = run(gyp[0], [...gyp.slice(1), 'configure', ...options], environment);
  if (configured.status !== 0) return configured;
  return run(gyp[0], [...gyp.slice(1), 'build', ...options], environment);
}

function compile(compiler) {
  const target = JSON.parse(readFileSync(join(folder, 'binding.gyp'), 'utf8')).targets[0];
  const unfinished = `${addonPath}.unfinished`;
  mkdirSync(dirname(addonPath), { recursive: true });
  const outcome = run(compiler, [
    ...target.cflags,
    ...target.defines.map((define) => `-D${define}`),
    ...['-shared', '-fPIC', '-pthread', '-I', headers, '-o', unfinished],
    ...target.sources.map((name) => join(folder, name)),
  ]);
  if (outcome.status === 0) renameSync(unfinished, addonPath);
  return outcome;
}

function run(program, options, environment = process.env) {
  return spawnSync(program, options, { env: environment, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

/** The command that starts node-gyp: what npm names, one in PATH, or the one inside npm. */
function findNodeGyp() {
  const named = process.env.npm_config_node_gyp;
  if (named !== undefined && existsSync(named)) return [process.execPath, named];
  const installed = findProgram('node-gyp');
  if (installed !== undefined) return [installed];
  const npm = findProgram('npm');
  const homes = [
    process.env.npm_execpath && dirname(dirname(process.env.npm_execpath)),
    npm && dirname(dirname(realpathSync(npm))),
    join(prefix, 'lib', 'node_modules', 'npm'),
    '/usr/share/nodejs/npm',
  ];
  const scripts = homes.filter(Boolean).map((home) => join(home, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'));
  const script = [...scripts, '/usr/share/nodejs/node-gyp/bin/node-gyp.js'].find((path) => existsSync(path));
  return script === undefined ? undefined : [process.execPath, script];
}

function findPython() {
  return [process.env.npm_config_python, process.env.PYTHON, 'python3', 'python']
    .filter(Boolean)
    .map(findProgram)
    .find(Boolean);
}

/** The path of a program, given by name or path, if it can be executed. */
function findProgram(program) {
  const folders = program.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  return folders.map((path) => (path === '' ? program : join(path, program))).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function failMissing(packages) {
  const sudo = process.getuid() === 0 ? '' : 'sudo ';
  return fail(
    `Tapster has a small native addon in C, and this machine lacks what builds it: ${packages.join(', ')}.\n` +
      `On Debian or Ubuntu:  ${sudo}apt-get install ${packages.join(' ')}\n` +
      'Then run the same command again.',
  );
}

function fail(message) {
  console.error(message);
  return 1;
}
