/**
 * The same scripts of segments against the Linux stack and against Tapster: where the answers differ, docs/differential.md says why. This file runs itself once more in a network namespace of its
 * own; as somebody who may not make one, it is skipped.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SCRIPTS, type Script } from './scripts.ts';
import { Connection } from './segment.ts';
import { LinuxStack, type Stack, TapsterStack } from './stacks.ts';

const INNER = 'TAPSTER_TEST_DIFFERENTIAL';
const DOCUMENT = fileURLToPath(new URL('../../../docs/differential.md', import.meta.url));
const ISN = 0x7fff_ff00;

if (process.env[INNER] === undefined) {
  describe('Tapster beside the Linux stack', () => {
    it('answers the same segments, but for the differences that are listed', (context) => {
      const probe = spawnSync('unshare', ['--net', 'sh', '-c', ': <> /dev/net/tun'], { encoding: 'utf8' });
      if (probe.status !== 0) {
        context.skip(`no network namespace with a tun device here: ${probe.error?.message ?? probe.stderr.trim()}`);
        return;
      }
      const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
      const inner = spawnSync('unshare', ['--net', process.execPath, fileURLToPath(import.meta.url)], {
        encoding: 'utf8',
        env: { ...environment, [INNER]: '1' },
      });
      assert.equal(inner.status, 0, `${inner.stdout}${inner.stderr}`);
    });

    it('lists each difference in its document', () => {
      const document = readFileSync(DOCUMENT, 'utf8');
      for (const { name, differs } of SCRIPTS)
        assert.equal(document.includes(`| ${name} |`), differs !== undefined, name);
    });
  });
} else {
  const linux = await LinuxStack.open();
  let port = 4000;
  describe('scripts', () => {
    for (const script of SCRIPTS) {
      it(script.name, async () => {
        const tapster = new TapsterStack();
        const ours = await play(tapster, script, ++port);
        const theirs = await play(linux, script, port);
        await tapster.close();
        for (const [step, answers] of ours.entries()) {
          const { linux: expected = answers, tapster: known = answers } = script.differs?.[step] ?? {};
          assert.deepEqual({ step, linux: theirs[step], tapster: answers }, { step, linux: expected, tapster: known });
        }
      });
    }
    it('ends', () => linux.close());
  });
}

/** What comes back for each step. */
async function play(stack: Stack, script: Script, guestPort: number): Promise<string[][]> {
  const connection = new Connection(stack.ends(guestPort, script.refused === true), ISN);
  const seen = new Set<string>();
  const answers: string[][] = [];
  for (const step of script.steps) {
    const frames = 'app' in step ? await stack.act(step) : await stack.send(connection.frame(step));
    const lines = frames.map((frame) => connection.line(frame)).filter((line) => line !== undefined);
    answers.push(lines.filter((line, i) => isAnswer(line, lines[i - 1], seen, script.repeats === true)));
    for (const line of lines) seen.add(line);
  }
  return answers;
}

/** Not what a clock repeats, nor an acknowledgement for each of several segments where one does for all. */
function isAnswer(line: string, before: string | undefined, seen: Set<string>, repeats: boolean): boolean {
  if (line === before) return false;
  const carries = line.includes('+') || line.startsWith('F');
  return repeats || !carries || !seen.has(line);
}
