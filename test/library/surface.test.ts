/** What `import 'tapster'` is to a program: what it loads, and whether types and documents agree with it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as library from 'tapster';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Below the package, so that its own name leads to it. */
const SCRATCH = join(ROOT, 'dist', 'test', `surface-${process.pid}`);
const GUIDE = join(ROOT, 'docs', 'guides', 'library.md');

/** Modules that are loaded when theirs is: no `import type`, which leaves nothing in JavaScript, and no `await import`. */
const STATIC_IMPORT = /^(?:import|export)\s(?:[\w*{}\s,$]*\sfrom\s)?['"]([^'"]+)['"]/gm;

describe('the library', () => {
  after(() => rmSync(SCRATCH, { recursive: true, force: true }));

  it('has the names that the guide speaks of', () => {
    for (const name of ['openTap', 'connect', 'TapsterError', 'describeFrame', 'ipv4', 'ethernet', 'parseIpAddress']) {
      assert.ok(name in library, name);
    }
  });

  it('loads no package and no part that only an engine needs', () => {
    const loaded = loadedBy(join(ROOT, 'dist', 'library', 'index.js'));
    const foreign = [...loaded].filter((each) => !each.startsWith('/') && !each.startsWith('node:'));
    assert.deepEqual(foreign, []);
    const heavy = [...loaded].filter((each) => /\/dist\/(engine|network|translate|nodes|config|cli)\//.test(each));
    assert.deepEqual(heavy, []);
  });

  it('has types that the examples and the guide agree with', () => {
    mkdirSync(SCRATCH, { recursive: true });
    const files = [...guidePrograms(), ...examples()];
    const compilerOptions = {
      ...{ target: 'ES2023', lib: ['ES2023'], module: 'nodenext', strict: true, noImplicitAny: false, noEmit: true },
      ...{
        checkJs: true,
        allowJs: true,
        skipLibCheck: false,
        types: ['node'],
        typeRoots: [join(ROOT, 'node_modules/@types')],
      },
    };
    writeFileSync(join(SCRATCH, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', SCRATCH], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
});

describe('the examples', () => {
  it('are short, say how to run them, and are listed', () => {
    const list = readFileSync(join(ROOT, 'examples', 'README.md'), 'utf8');
    for (const path of examples()) {
      const text = readFileSync(path, 'utf8');
      const name = path.slice(path.lastIndexOf('/') + 1);
      assert.ok(text.split('\n').length <= 60, `${name} is long`);
      assert.ok(text.includes(`node examples/${name}`), `${name} does not say how to run it`);
      assert.ok(list.includes(`(${name})`), `examples/README.md lacks ${name}`);
    }
  });
});

function loadedBy(path: string, loaded: Set<string> = new Set()): Set<string> {
  if (loaded.has(path)) return loaded;
  loaded.add(path);
  for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(STATIC_IMPORT)) {
    if (specifier.startsWith('.')) loadedBy(join(dirname(path), specifier), loaded);
    else loaded.add(specifier);
  }
  return loaded;
}

/** Each block of the guide that begins with an import, as a file. */
function guidePrograms(): string[] {
  const blocks = [...readFileSync(GUIDE, 'utf8').matchAll(/```js\n(import [\s\S]*?)```/g)];
  assert.ok(blocks.length > 3);
  return blocks.map(([, text = ''], index) => {
    const path = join(SCRATCH, `guide-${index}.mjs`);
    writeFileSync(path, text);
    return path;
  });
}

function examples(): string[] {
  const folder = join(ROOT, 'examples');
  const names = readdirSync(folder).filter((name) => name.endsWith('.mjs'));
  return names.map((name) => join(folder, name));
}
