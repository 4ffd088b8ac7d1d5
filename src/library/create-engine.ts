/**
 * `createEngine`: what `tapster up` runs, inside of a program, with nodes of the program's own among the engine's.
 *
 * The engine lives in the program's event loop, beside whatever else it does. Its parts, and the packages that read configurations, are loaded when the first one is created.
 */
import { failure } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import type { ConfigDocument } from '../control/client.ts';
import type { RunningNetwork } from '../network/running-network.ts';
import { asInsertion, checkCustomNodes } from './custom-node.ts';
import type { CreateEngineOptions, Engine } from './engine.ts';
import { orThrow } from './tapster-error.ts';

/**
 * Starts an engine with a configuration: a document, or YAML text, as docs/config.md describes it. Default: an empty one, which `apply` fills.
 *
 * ```js
 * const engine = await createEngine({ interfaces: { tap0: { tap: { host: { namespace: 'red' } }, address: ['10.0.0.1/24'] } } });
 * ```
 *
 * Throws a `TapsterError`, and then nothing is left behind: `config-invalid` with every mistake in its message, `node-invalid`, or what an action failed with.
 */
export async function createEngine(
  config: ConfigDocument | string = {},
  options: CreateEngineOptions = {},
): Promise<Engine> {
  const { name = 'main', flowsMax, nodes = [], log = logToStandardError } = options;
  orThrow(checkCustomNodes(nodes));
  const wanted = await readConfig(config);
  const [{ createNetwork }, { packageVersion }] = await Promise.all([
    import('../network/network.ts'),
    import('../engine/package-version.ts'),
  ]);
  const insertions = nodes.map((node) =>
    asInsertion(node, (error) => log('error', `the node ${node.name} fails, and drops its packets: ${error}`)),
  );
  const network = orThrow(
    await createNetwork({
      ...{ name, version: packageVersion(), log, nodes: insertions },
      ...(flowsMax === undefined ? {} : { flowsMax }),
    }),
  );
  const applied = await network.apply(wanted);
  if (!applied.ok) await network.close();
  orThrow(applied);
  return embed(network);
}

/** What gives results gives values, or throws. */
function embed(network: RunningNetwork): Engine {
  return {
    apply: async (config, options) => orThrow(await network.apply(await readConfig(config), options)),
    routes: (family, query) => orThrow(network.routes(family, query)),
    addTrace: (node, count, filter) => orThrow(network.addTrace(node, count, filter)),
    startCapture: (options) => orThrow(network.startCapture(options)),
    stopCapture: async (name) => orThrow(await network.stopCapture(name)),
    ping: async (options) => orThrow(await network.ping(options)),
    engine: () => network.engine(),
    interfaces: () => network.interfaces(),
    hardware: () => network.hardware(),
    taps: () => network.taps(),
    bridges: () => network.bridges(),
    stations: (bridge) => network.stations(bridge),
    neighbours: (query) => network.neighbours(query),
    flows: (query) => network.flows(query),
    threads: () => network.threads(),
    runtime: () => network.runtime(),
    errors: () => network.errors(),
    eventLog: (limit) => network.eventLog(limit),
    onEvent: (listener) => network.onEvent(listener),
    traces: () => network.traces(),
    nodes: () => network.nodes(),
    clear: (what) => network.clear(what),
    captures: () => network.captures(),
    close: () => network.close(),
    [Symbol.asyncDispose]: () => network.close(),
  };
}

async function readConfig(config: ConfigDocument | string): Promise<Config> {
  const { checkConfig, parseConfig } = await import('../config/parse-config.ts');
  const parsed = typeof config === 'string' ? parseConfig(config) : checkConfig(config);
  if (parsed.ok) return parsed.value;
  const { formatProblems } = await import('../config/problem.ts');
  return orThrow(failure(parsed.failure.code, formatProblems(parsed.problems, 'configuration')));
}

function logToStandardError(level: string, message: string): void {
  if (level === 'error' || level === 'warning') process.stderr.write(`tapster: ${level}: ${message}\n`);
}
