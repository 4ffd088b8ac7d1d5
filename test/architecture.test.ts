/**
 * The shape of the source, checked: who may import whom (ARCHITECTURE.md), that the pure folders know no Node, that the addon has one door, and
 * that no file grows without bound.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SOURCE = join(ROOT, 'src');

const LINES_MAX = 500;

/** The folders that each folder may import from, beside itself. Of `sys` most see the contract only: see `SYS_CONTRACT`. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  wire: ['base'],
  packet: ['base', 'wire'],
  graph: ['base', 'wire', 'packet'],
  nodes: ['base', 'wire', 'packet', 'graph', 'flow', 'forward', 'sys'],
  flow: ['base', 'wire', 'packet'],
  forward: ['base', 'wire', 'packet'],
  virtio: ['base', 'wire', 'packet'],
  config: ['base'],
  sys: ['base', 'wire'],
  translate: ['base', 'wire', 'packet', 'graph', 'flow', 'sys'],
  link: ['base', 'wire', 'packet', 'graph', 'virtio', 'sys'],
  engine: [
    'base',
    'wire',
    'packet',
    'graph',
    'nodes',
    'flow',
    'forward',
    'translate',
    'virtio',
    'link',
    'config',
    'sys',
  ],
  network: [
    'base',
    'wire',
    'packet',
    'graph',
    'nodes',
    'flow',
    'forward',
    'translate',
    'virtio',
    'link',
    'config',
    'sys',
    'engine',
  ],
  control: ['base', 'config', 'network'],
  cli: ['base', 'engine', 'sys', 'config', 'network', 'control'],
  library: ['base', 'wire', 'packet', 'graph', 'link', 'sys', 'config', 'engine', 'network', 'control'],
};

/** Compiled without Node's types; they may not reach it by an import either. */
const PURE = ['base', 'wire', 'packet', 'graph', 'nodes', 'flow', 'forward', 'translate', 'virtio', 'link'];

/** Of `sys`, these see the contract only: the interface, and the numbers of the kernel's that go with it. */
const SEE_SYS_AS_INTERFACE = ['nodes', 'translate', 'link'];
const SYS_CONTRACT = ['sys/sys.ts', 'sys/errno.ts', 'sys/options.ts'];

/** What `import 'tapster'` gives: it names what others define. */
const PUBLIC_SURFACE = 'library/index.ts';

/** The one module that loads the addon, and all that may import it. */
const LOADER = 'sys/native.ts';

interface Import {
  /** Relative to `src`, with `/`. */
  readonly from: string;
  readonly line: number;
  /** A module's name, or a path relative to `src`. */
  readonly to: string;
  /** `import type`: nothing is loaded. */
  readonly typeOnly: boolean;
}

const files = listFiles(SOURCE).filter((path) => path.endsWith('.ts'));
const sources = files.filter((path) => !path.endsWith('.test.ts'));
const imports = sources.flatMap(importsOf);

describe('the shape of the source', () => {
  it('follows the arrows between folders', () => {
    for (const folder of new Set(sources.map(folderOf))) {
      assert.ok(folder in ARROWS, `src/${folder} has no place in the arrows`);
    }
    none(imports.filter(isLocal).filter(({ from, to }) => !mayImport(folderOf(from), folderOf(to))));
  });

  it('imports from src only what is in src', () => {
    none(imports.filter(({ to }) => to.startsWith('..')));
    const known = new Set(files);
    none(imports.filter(isLocal).filter(({ to }) => !known.has(to)));
  });

  it('loads modules in no cycle', () => {
    assert.deepEqual(cycles(), []);
  });

  it('keeps Node and packages out of the pure folders', () => {
    none(imports.filter(({ from, to }) => PURE.includes(folderOf(from)) && !isLocal({ to })));
  });

  it('shows sys to the data plane as an interface', () => {
    const seen = imports.filter(
      ({ from, to }) => SEE_SYS_AS_INTERFACE.includes(folderOf(from)) && folderOf(to) === 'sys',
    );
    none(seen.filter(({ to }) => !SYS_CONTRACT.includes(to)));
  });

  it('loads the addon in one place', () => {
    const doors = sources.filter((path) => /createRequire|\.node['"`]|process\.dlopen/.test(read(path)));
    assert.deepEqual(doors, [LOADER]);
    none(imports.filter(({ from, to }) => to === LOADER && folderOf(from) !== 'sys'));
  });

  it('builds the real Sys in engine, network and library only, and where the demonstration pings', () => {
    const builders = sources.filter(
      (path) => /new LinuxSys\b/.test(read(path)) && !['engine', 'network', 'library'].includes(folderOf(path)),
    );
    assert.deepEqual(builders, ['cli/demo-inside.ts']);
  });

  it('has files that can be read in one sitting', () => {
    const long = [...files, ...sourcesOutside()].filter((path) => read(path).split('\n').length > LINES_MAX + 1);
    assert.deepEqual(long, []);
  });

  it('has no barrel files', () => {
    const barrels = sources
      .filter((path) => path !== PUBLIC_SURFACE)
      .filter((path) => /^export\s+(type\s+)?(\*|\{[^}]*\})\s*(as\s+\w+\s+)?from\b/m.test(read(path)));
    assert.deepEqual(barrels, []);
  });

  it('has every folder in the build', () => {
    const { references } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')) as {
      references: { path: string }[];
    };
    const built = references.map(({ path }) => path);
    for (const folder of Object.keys(ARROWS)) assert.ok(built.includes(`src/${folder}`), `src/${folder} is not built`);
  });
});

describe('the reader of imports', () => {
  it('finds every form, and none in comments and strings', () => {
    const text = `import a from './a.ts';
      import type { B } from './b.ts';
      import './c.ts';
      export { d } from './d.ts';
      const e = await import('./e.ts');
      type F = import('./f.ts').F;
      // import g from './g.ts'
      /* import h from './h.ts' */
      import {
        i,
      } from './i.ts';`;
    assert.deepEqual(
      specifiers(text).map(({ specifier }) => specifier),
      ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts', './i.ts'],
    );
    assert.deepEqual(
      specifiers(text).flatMap(({ specifier, typeOnly }) => (typeOnly ? [specifier] : [])),
      ['./b.ts'],
    );
  });
});

function mayImport(from: string, to: string): boolean {
  return from === to || (ARROWS[from] ?? []).includes(to);
}

function isLocal({ to }: { readonly to: string }): boolean {
  return to.endsWith('.ts');
}

function folderOf(path: string): string {
  return path.split('/')[0] as string;
}

function none(found: readonly Import[]): void {
  assert.deepEqual(
    found.map(({ from, line, to }) => `src/${from}:${line} imports ${to}`),
    [],
  );
}

function importsOf(from: string): Import[] {
  return specifiers(read(from)).map(({ specifier, line, typeOnly }) => {
    const local = specifier.startsWith('.');
    return { from, line, to: local ? join(dirname(from), specifier) : specifier, typeOnly };
  });
}

function specifiers(text: string): { specifier: string; line: number; typeOnly: boolean }[] {
  const code = withoutComments(text);
  const pattern = /\bfrom\s*'([^']+)'|\bimport\s*'([^']+)'|\bimport\s*\(\s*'([^']+)'\s*\)/g;
  return [...code.matchAll(pattern)].map((match) => ({
    specifier: (match[1] ?? match[2] ?? match[3]) as string,
    line: code.slice(0, match.index).split('\n').length,
    typeOnly: /\b(import|export)\s+type\b[^;']*$/.test(code.slice(0, match.index)),
  }));
}

/** Comments become blanks, their line ends stay. Good enough for code that is formatted: no quote holds the start of a comment before an import. */
function withoutComments(text: string): string {
  return text
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/^\s*\/\/.*$/gm, '');
}

/** Each cycle as a path of modules, found by depth-first search. */
function cycles(): string[] {
  const next = new Map<string, string[]>();
  const loads = imports.filter((each) => isLocal(each) && !each.typeOnly);
  for (const { from, to } of loads) next.set(from, [...(next.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
    if (done.has(path) || trail.includes(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of sources) visit(path, []);
  return found;
}

function read(path: string): string {
  return readFileSync(join(SOURCE, path), 'utf8');
}

/** Tests, benchmarks and scripts, and the addon: relative to `src` like all others. */
function sourcesOutside(): string[] {
  const folders = ['test', 'bench', 'scripts', 'native'].map((name) => join(ROOT, name));
  const outside = folders.flatMap((folder) => listFiles(folder).map((path) => join(relative(SOURCE, folder), path)));
  return outside.filter((path) => /\.(ts|mjs|c|h)$/.test(path) && !path.includes('/build/'));
}

/** Files below `folder`, relative to it, with `/`. */
function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}
