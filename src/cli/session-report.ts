/** What sessions of `tapster run` and `tapster guest` tell: opens what listens to flows, runs the session, and says how it ended. */
import { formatIpAddress, type IpAddress } from '../base/address.ts';
import type { Failure, Result } from '../base/result.ts';
import { FlowLines } from '../engine/flow-lines.ts';
import { type FlowLog, openFlowLog } from '../engine/flow-log.ts';
import type { FlowSink } from '../engine/flow-record.ts';
import { FlowSummary } from '../engine/flow-summary.ts';
import type { PublishRule, RunOptions } from '../engine/run-options.ts';
import type { LogLevel, SessionHooks } from '../engine/session-host.ts';
import { formatEndpoint, harmless } from '../engine/text.ts';
import { EXIT } from './exit.ts';
import { StandardError } from './standard-error.ts';

export type Say = (text: string) => void;

/** Runs a session. Returns the exit status. Everything that Tapster says goes to the standard error: the standard output is the command's. */
export async function reportSession(
  options: RunOptions,
  run: (hooks: SessionHooks, say: Say) => Promise<Result<number>>,
): Promise<number> {
  const standardError = new StandardError();
  try {
    return await runReported(options, standardError, run);
  } finally {
    await standardError.close();
  }
}

async function runReported(
  options: RunOptions,
  standardError: StandardError,
  run: (hooks: SessionHooks, say: Say) => Promise<Result<number>>,
): Promise<number> {
  const say = (text: string): void => standardError.write(`tapster: ${harmless(text)}\n`);
  const log = makeLog(options.verbosity, say);
  const sinks: FlowSink[] = [];
  let flowLog: FlowLog | undefined;
  if (options.flowsPath !== undefined) {
    const opened = openFlowLog(options.flowsPath, (message) => log('error', message));
    if (!opened.ok) return tellFailure(opened.failure, say);
    flowLog = opened.value;
    sinks.push(flowLog);
  }
  const summary = options.summary ? new FlowSummary() : undefined;
  if (summary !== undefined) sinks.push(summary);
  if (options.verbosity === 'verbose') sinks.push(new FlowLines((line) => log('info', line)));
  const published = (rule: PublishRule, address: IpAddress, port: number): void => {
    // Nobody knows yet which port the kernel picked: that is an answer, which -q must not swallow.
    if (rule.firstPort === 0 || options.verbosity !== 'quiet') say(publishedText(rule, address, port));
  };
  const result = await run({ flowSinks: sinks, log, published }, say);
  await flowLog?.close();
  if (summary !== undefined) standardError.write(`\n${summary.render(standardError.layout())}`);
  return result.ok ? result.value : tellFailure(result.failure, say);
}

function makeLog(verbosity: RunOptions['verbosity'], say: Say): (level: LogLevel, message: string) => void {
  return (level, message) => {
    if (level === 'debug' || (verbosity === 'quiet' && level !== 'error')) return;
    if (level === 'info' && verbosity !== 'verbose') return;
    say(level === 'warning' || level === 'error' ? `${level}: ${message}` : message);
  };
}

function publishedText(rule: PublishRule, address: IpAddress, port: number): string {
  const offset = port - rule.firstPort;
  const inside = rule.toPort === undefined ? port : rule.firstPort === 0 ? rule.toPort : rule.toPort + offset;
  return `published ${formatEndpoint(formatIpAddress(address), port)}/${rule.protocol} to port ${inside}`;
}

/** Prints a failure with its causes and returns the exit status that it stands for. */
function tellFailure(failure: Failure, say: Say): number {
  for (let at: Failure | undefined = failure; at !== undefined; at = at.cause) {
    say(at === failure ? at.message : `  because: ${at.message}`);
  }
  if (failure.code === 'command-not-found') return EXIT.notFound;
  if (failure.code === 'command-not-executable') return EXIT.notExecutable;
  return EXIT.failed;
}
