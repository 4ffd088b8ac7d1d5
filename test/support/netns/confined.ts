/**
 * A process that confines itself as the engine does and then tries what it is told: `confined.js ADDON VERB WORDS`, with the addon made of `system-call.c`. Prints
 * what came of it as JSON, if it still can.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { enginePlan } from '#tapster/engine/sandbox-policy.js';
import { applySandbox } from '#tapster/sys/sandbox.js';
import { systemCalls } from '#tapster/sys/system-calls.js';

interface SystemCall {
  systemCall(number: number, ...words: number[]): number;
}

/** No process has this number: there is none to signal. */
const NO_CHILD = 0x3fffffff;

const [addonPath = '', verb = '', ...words] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(addonPath) as SystemCall;
// A thread of libuv's exists before, as in a session with log files.
await fs.promises.readFile('/dev/null');
const applied = applySandbox(enginePlan(NO_CHILD, ['/etc/resolv.conf']));
if (!applied.ok) throw new Error(applied.failure.message);
tell(await attempt());

async function attempt(): Promise<unknown> {
  const [path = ''] = words;
  if (verb === 'notes') return applied.ok ? applied.value : [];
  if (verb === 'call')
    return addon.systemCall(systemCalls()!.numbers.get(path) ?? Number(path), ...words.slice(1).map(Number));
  if (verb === 'read') return code(() => fs.readFileSync(path));
  if (verb === 'read-in-thread')
    return fs.promises.readFile(path).then(
      () => 'ok',
      (error) => error.code,
    );
  if (verb === 'list') return code(() => fs.readdirSync(path));
  if (verb === 'write') return code(() => fs.writeFileSync(path, 'x'));
  if (verb === 'append') return code(() => fs.closeSync(fs.openSync(path, 'a')));
  if (verb === 'remove') return code(() => fs.unlinkSync(path));
  if (verb === 'spawn') return code(() => spawnSync('/bin/true'));
  throw new Error(`no verb ${verb}`);
}

function code(action: () => unknown): string {
  try {
    action();
    return 'ok';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

function tell(finding: unknown): void {
  fs.writeSync(1, `${JSON.stringify(finding)}\n`);
}
