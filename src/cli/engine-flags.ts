/** The options by which `ctl`, `apply` and `down` find an engine. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Option } from 'commander';
import type { ConnectOptions } from '../control/client.ts';
import { DEFAULT_ENGINE_NAME } from '../control/engine-name.ts';
import { one } from './option.ts';
import { parseEngineName } from './parse/engine-name.ts';
import { parseFilePath } from './parse/file-path.ts';
import { parsed } from './parse/parsed.ts';
import { UsageError } from './usage-error.ts';

export interface EngineFlags {
  readonly name?: string;
  readonly socket?: string;
  readonly url?: string;
  readonly tokenFile?: string;
}

export function nameOption(): Option {
  return one('--name <NAME>', 'the engine of this name (main)', parseEngineName);
}

export function socketOption(): Option {
  return one('--socket <FILE>', 'the engine that listens at this socket', parseFilePath);
}

export function urlOptions(): Option[] {
  return [
    one('--url <URL>', 'the engine that listens at this loopback port, as http://127.0.0.1:7100', parsed),
    one('--token-file <FILE>', 'with --url: the file that holds its token', parseFilePath),
  ];
}

export function connectOptions({ name, socket, url, tokenFile }: EngineFlags): ConnectOptions {
  const given = Object.entries({ '--name': name, '--socket': socket, '--url': url }).filter(
    ([, each]) => each !== undefined,
  );
  if (given.length > 1) {
    throw new UsageError(`${given.map(([flag]) => flag).join(' with ')} names two engines`, 'Leave one out.');
  }
  if ((url === undefined) !== (tokenFile === undefined)) {
    throw new UsageError(
      '--url and --token-file go together',
      'A port is guarded by a token, a socket by its permissions.',
    );
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(socket === undefined ? {} : { socketPath: resolve(socket) }),
    ...(url === undefined ? {} : { url }),
    ...(tokenFile === undefined ? {} : { token: readToken(tokenFile) }),
  };
}

/** For the prompt. */
export function engineLabel({ name, socket, url }: EngineFlags): string {
  return name ?? socket ?? url ?? DEFAULT_ENGINE_NAME;
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new UsageError(
      `--token-file ${file}: ${(error as NodeJS.ErrnoException).code}`,
      'Name a file that you can read.',
    );
  }
}
