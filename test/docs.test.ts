/** The documents, checked against what they speak of: links, paths, quoted tests, help texts, the map. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = join(ROOT, 'dist', 'cli', 'main.js');

/** [text](target), but not an address on the web. */
const LINK = /\[[^\]]*\]\((?!https?:)([^)\s]+)\)/g;
/** `src/some/file.ts`: a path of the project in code type. */
const PATH = /`((?:src|native|test|bench|scripts|docs)\/[\w./-]+)`/g;
/** [file.test.ts](path): "name of a test", as docs/kernel.md quotes them. */
const QUOTED_TEST = /\[[\w.-]+\.test\.ts\]\(([^)]+)\): "([^"]+)"/g;
/** A block that shows what a command prints. */
const HELP_BLOCK = /```\n\$ tapster ([^\n]*--help)\n([^`]*)```/g;

const documents: readonly string[] = [...documentsIn(ROOT), ...documentsIn(join(ROOT, 'docs'))];

describe('the documents', () => {
  it('lead only to what is there', () => {
    for (const document of documents) {
      for (const [, target = ''] of readFileSync(document, 'utf8').matchAll(LINK)) {
        const [path = '', anchor] = target.split('#');
        const to = path === '' ? document : join(dirname(document), path);
        assert.ok(existsSync(to), `${name(document)}: ${target}`);
        if (anchor !== undefined) assert.ok(anchorsOf(to).includes(anchor), `${name(document)}: ${target}`);
      }
    }
  });

  it('name only paths that are there', () => {
    for (const document of documents) {
      for (const [, path = ''] of readFileSync(document, 'utf8').matchAll(PATH)) {
        assert.ok(existsSync(join(ROOT, path)), `${name(document)}: ${path}`);
      }
    }
  });

  it('quote tests that are there', () => {
    const kernel = join(ROOT, 'docs', 'kernel.md');
    const quoted = [...readFileSync(kernel, 'utf8').matchAll(QUOTED_TEST)];
    assert.ok(quoted.length > 20);
    for (const [, path = '', test = ''] of quoted) {
      const source = readFileSync(join(dirname(kernel), path), 'utf8');
      assert.ok(
        testNames(source).some((each) => each.startsWith(test)),
        `docs/kernel.md: ${path}: ${test}`,
      );
    }
  });

  it('show help as it is', () => {
    const text = readFileSync(join(ROOT, 'docs', 'cli.md'), 'utf8');
    const blocks = [...text.matchAll(HELP_BLOCK)];
    assert.deepEqual(
      blocks.map(([, words]) => words),
      ['', 'run ', 'guest ', 'up ', 'ctl ', 'apply ', 'down ', 'doctor ', 'shims ', 'completion '].map(
        (command) => `${command}--help`,
      ),
    );
    for (const [, words = '', shown] of blocks) {
      const { stdout } = spawnSync(process.execPath, [PROGRAM, ...words.split(' ')], { encoding: 'utf8' });
      assert.equal(shown?.trim(), stdout.trim(), `docs/cli.md: tapster ${words}`);
    }
  });

  it('have every file of the source in the map', () => {
    const [, map = ''] = /## The map\n\n```\n(.*?)```/s.exec(readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')) ?? [];
    for (const folder of ['base', 'wire', 'packet', 'graph', 'nodes', 'flow', 'translate', 'link', 'engine']) {
      for (const file of readdirSync(join(ROOT, 'src', folder))) {
        if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
        const family = `${file.split('-', 1)[0]}-*.ts`;
        assert.ok(map.includes(file) || map.includes(family), `ARCHITECTURE.md: src/${folder}/${file}`);
      }
    }
  });

  it('list every decision', () => {
    const folder = join(ROOT, 'docs', 'decisions');
    const list = readFileSync(join(folder, 'README.md'), 'utf8');
    for (const file of readdirSync(folder)) {
      if (file !== 'README.md') assert.ok(list.includes(`(${file})`), `docs/decisions/README.md: ${file}`);
    }
  });
});

function documentsIn(folder: string): string[] {
  return readdirSync(folder).flatMap((entry) => {
    const path = join(folder, entry);
    if (entry.endsWith('.md')) return [path];
    return folder !== ROOT && statSync(path).isDirectory() ? documentsIn(path) : [];
  });
}

function name(document: string): string {
  return relative(ROOT, document);
}

/** A heading's anchor: lower case, punctuation left out, hyphens for spaces. */
function anchorsOf(path: string): string[] {
  if (!basename(path).endsWith('.md')) return [];
  return [...readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/ /g, '-'),
  );
}

/** What stands in the quotes of test(...) and it(...); of a template, all in front of its first hole. */
function testNames(source: string): string[] {
  return [...source.matchAll(/\b(?:test|it)\(\s*(?:'([^'\n]*)'|"([^"\n]*)"|`([^`$]*))/g)].map(
    ([, single, double, template]) => single ?? double ?? template?.replace(/, $/, '') ?? '',
  );
}
