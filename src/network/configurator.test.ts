import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, type Result, success } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse-config.ts';
import type { Contents } from '../config/parts.ts';
import { Configurator } from './configurator.ts';
import type { PartBuilder } from './part-builder.ts';

const DONE: Result<void> = success(undefined);

function config(mtu: number, route: string): Config {
  const parsed = parseConfig(
    `{ interfaces: { tap0: { tap: {}, mtu: ${mtu}, address: [10.0.0.1/24] } }, routes: [{ to: ${route}, via: drop }] }`,
  );
  assert.ok(parsed.ok);
  return parsed.value;
}

/** Notes what it is asked for. */
class NotingBuilder {
  readonly calls: string[] = [];
  /** Calls that fail, by their text. */
  failing: string[] = [];

  add(part: Contents): Result<void> {
    return this.#note('add', part);
  }

  remove(part: Contents): Result<void> {
    return this.#note('remove', part);
  }

  change(from: Contents, to: Contents): Result<void> {
    return this.#note(`from ${mtuOf(from)} change`, to);
  }

  take(): string[] {
    return this.calls.splice(0);
  }

  #note(verb: string, part: Contents): Result<void> {
    const call = `${verb} ${part.kind} ${mtuOf(part)}`.trimEnd();
    this.calls.push(call);
    return this.failing.includes(call) ? failure('unwilling', 'the kernel is not willing') : DONE;
  }
}

function mtuOf(part: Contents): number | '' {
  return part.kind === 'tap' ? part.mtu : '';
}

async function start(): Promise<{ builder: NotingBuilder; configurator: Configurator }> {
  const builder = new NotingBuilder();
  const configurator = new Configurator(builder as unknown as PartBuilder, { lost: () => {}, met: () => {} });
  assert.ok((await configurator.apply(config(1500, '10.1.0.0/16'))).ok);
  builder.take();
  return { builder, configurator };
}

/** A change of tap0 can not be undone when the route behind it fails: it is there still, with the other MTU. */
async function startOtherwise(): Promise<{ builder: NotingBuilder; configurator: Configurator }> {
  const started = await start();
  const { builder, configurator } = started;
  builder.failing = ['add route', 'from 1400 change tap 1500'];
  const applied = await configurator.apply(config(1400, '10.2.0.0/16'));
  assert.ok(!applied.ok && applied.failure.message.includes('could not all be undone'));
  builder.failing = [];
  builder.take();
  return started;
}

function unmet({ configurator }: { configurator: Configurator }): string[] {
  return configurator.unmet.map(({ part }) => part);
}

describe('what could not be undone', () => {
  it('is unmet, and changed back where it is there otherwise', async () => {
    const started = await startOtherwise();
    assert.deepEqual(unmet(started), ['interface tap0', 'route 10.1.0.0/16']);
    await started.configurator.repair();
    assert.deepEqual(started.builder.take(), ['from 1400 change tap 1500', 'add route']);
    assert.deepEqual(unmet(started), []);
  });

  it('is changed from what it is by the next configuration', async () => {
    const started = await startOtherwise();
    assert.ok((await started.configurator.apply(config(1300, '10.1.0.0/16'))).ok);
    assert.deepEqual(started.builder.take(), ['from 1400 change tap 1300']);
    assert.deepEqual(unmet(started), ['route 10.1.0.0/16']);
  });

  it('goes as what it is, with its interface', async () => {
    const started = await startOtherwise();
    started.configurator.lose('tap0', { code: 'interface-lost', message: 'tap0 has gone' });
    assert.deepEqual(started.builder.take(), ['remove up', 'remove address', 'remove tap 1400']);
    await started.configurator.repair();
    assert.deepEqual(started.builder.take(), ['add tap 1500', 'add address', 'add route', 'add up']);
    assert.deepEqual(unmet(started), []);
  });
});
