/**
 * The socket of `--conf-path`: what `tapster ctl --socket PATH` needs to tell and change the forwards of a session that runs. It is a small part of the API of a running
 * network (docs/api.md), with two interfaces, whose only property is `publish`: `guest`, to whom ports of the host lead, and, where there is a namespace, `host`, to which ports of the
 * namespace's loopback lead.
 *
 * | request                            | answer                                                                  |
 * | ---------------------------------- | ----------------------------------------------------------------------- |
 * | `GET /v1/engine`                   | version and process                                                     |
 * | `GET /v1/config`                   | the ports that lead to each, as rules                                   |
 * | `PATCH /v1/interfaces/NAME`        | makes these rules so: all of them, or none                              |
 * | `GET /v1/forwards`                 | all forwards, those that follow others too                              |
 *
 * Rules of `all`, of `auto` and of one interface are only told by the last: they stay as they are.
 */
import { closeSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { API_BODY_BYTES_MAX, SESSION_CLIENTS_MAX } from '../../base/limits.ts';
import { failure, type Result, success } from '../../base/result.ts';
import { formatPublish, parsePublish } from '../../config/publish.ts';
import { PROBLEM_TYPE, problemDocument } from '../../control/api-error.ts';
import { etagOf, revisionOf } from '../../control/revision-tag.ts';
import type { ForwardDirection } from '../../engine/forward-places.ts';
import type { Forwards, OpenForward } from '../../engine/forwards.ts';
import { packageVersion } from '../../engine/package-version.ts';
import { startPathRemover } from '../../sys/path-remover.ts';
import { listenUnix } from '../../sys/unix-socket.ts';

/** Who ports lead to, by the way that they do. */
const NAMES: Readonly<Record<ForwardDirection, string>> = { in: 'guest', out: 'host' };
const INTERFACES_PATH = '/v1/interfaces/';
const IDLE_MS = 30_000;

export interface SessionApi {
  /** The path is gone when this returns. */
  close(): void;
}

/** Listens at the path, for our own user alone. To be called before the sandbox. */
export function startSessionApi(path: string, program: string, forwards: Forwards): Result<SessionApi> {
  const mask = process.umask(0o177);
  const listener = listenUnix(path);
  process.umask(mask);
  if (!listener.ok) return listener;
  const remover = startPathRemover(path);
  if (!remover.ok) {
    closeSync(listener.value.fd);
    return remover;
  }
  const rules = new SessionRules(forwards, program === 'pasta' ? ['in', 'out'] : ['in']);
  // In the sandbox the package can't be asked any more.
  const engine = { name: program, version: packageVersion(), pid: process.pid, unmet: [] };
  const server: Server = createServer((request, response) => {
    answer(rules, engine, request, response).catch(() => response.destroy());
  });
  server.maxConnections = SESSION_CLIENTS_MAX;
  server.requestTimeout = IDLE_MS;
  server.listen({ fd: listener.value.fd });
  return success({
    close: () => {
      server.close();
      server.closeAllConnections();
      remover.value.remove();
    },
  });
}

interface Reply {
  readonly status: number;
  readonly body: object;
}

async function answer(
  rules: SessionRules,
  engine: object,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { status, body } = await replyTo(rules, engine, request);
  const type = status < 300 ? 'application/json' : PROBLEM_TYPE;
  response.writeHead(status, { 'content-type': type, etag: etagOf(rules.revision), connection: 'close' });
  response.end(JSON.stringify(body));
}

async function replyTo(rules: SessionRules, engine: object, request: IncomingMessage): Promise<Reply> {
  const { method } = request;
  const [path] = (request.url ?? '').split('?');
  if (method === 'GET' && path === '/v1/engine') {
    const uptimeSeconds = Math.floor(process.uptime());
    return { status: 200, body: { ...engine, uptimeSeconds, revision: rules.revision } };
  }
  if (method === 'GET' && path === '/v1/config') {
    const interfaces = rules.directions.map((direction) => [NAMES[direction], { publish: rules.texts(direction) }]);
    return { status: 200, body: { interfaces: Object.fromEntries(interfaces) } };
  }
  if (method === 'GET' && path === '/v1/forwards') return { status: 200, body: rules.all };
  const direction = rules.directions.find((each) => path === `${INTERFACES_PATH}${NAMES[each]}`);
  if (method === 'PATCH' && direction !== undefined) return change(rules, direction, request);
  return refusal(404, 'not-found', `${method} ${path} is not for sessions: see "tapster ctl forward"`);
}

async function change(rules: SessionRules, direction: ForwardDirection, request: IncomingMessage): Promise<Reply> {
  const wanted = request.headers['if-match'];
  if (wanted !== undefined && revisionOf(wanted) !== rules.revision) {
    return refusal(412, 'revision-conflict', `the forwards are at revision ${rules.revision}, not at ${wanted}`);
  }
  const body = await bodyOf(request);
  const publish = typeof body === 'object' && body !== null && 'publish' in body ? body.publish : undefined;
  const isList = Array.isArray(publish) && publish.every((each) => typeof each === 'string');
  if (!isList || Object.keys(body as object).length > 1) {
    return refusal(400, 'body-invalid', 'a session has only "publish", a list of rules such as "8080:80/tcp"');
  }
  const applied = rules.apply(direction, publish);
  if (!applied.ok) return refusal(409, applied.failure.code, applied.failure.message);
  return { status: 200, body: { revision: rules.revision, dryRun: false, actions: applied.value } };
}

function refusal(status: number, code: string, detail: string): Reply {
  return { status, body: problemDocument(status, 'refused', code, detail) };
}

/** Undefined: it is too long, or no JSON. */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > API_BODY_BYTES_MAX) return undefined;
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

type RuleChange = { readonly action: 'add' | 'remove'; readonly part: string; readonly text: string };

/** Forwards to the inside as a list of rules, each one text. */
export class SessionRules {
  /** Grows with each change. */
  revision: number = 1;
  readonly directions: readonly ForwardDirection[];
  readonly #forwards: Pick<Forwards, 'add' | 'remove' | 'list'>;

  constructor(forwards: Pick<Forwards, 'add' | 'remove' | 'list'>, directions: readonly ForwardDirection[]) {
    this.#forwards = forwards;
    this.directions = directions;
  }

  texts(direction: ForwardDirection): string[] {
    return [...this.#open(direction).keys()];
  }

  get all(): object[] {
    return this.#forwards.list().map((forward) => {
      const { id, direction, auto, ports, rule } = forward;
      const { interfaceName } = rule;
      return {
        id,
        direction,
        rule: textOf(forward),
        ...(interfaceName === undefined ? {} : { interfaceName }),
        auto,
        ports,
      };
    });
  }

  /** Makes the list so: what is new first, so that a failure leaves all as it was. */
  apply(direction: ForwardDirection, wanted: readonly string[]): Result<RuleChange[]> {
    const open = this.#open(direction);
    const rules = new Map<string, Parameters<Forwards['add']>[0]>();
    for (const text of wanted) {
      const there = open.get(text);
      // A command line may name more ports in one than a rule that is new may.
      if (there !== undefined) {
        rules.set(text, there);
        continue;
      }
      const rule = parsePublish(text);
      if (typeof rule === 'string') return failure('rule-invalid', `"${text}": ${rule}`);
      const { protocol, ...ports } = rule;
      rules.set(formatPublish(rule), {
        direction,
        protocol,
        rule: { ...ports, interfaceName: undefined, weak: false },
      });
    }
    const added: OpenForward[] = [];
    for (const [text, forward] of rules) {
      if (open.has(text)) continue;
      const opened = this.#forwards.add(forward);
      if (opened.ok) {
        added.push(opened.value);
        continue;
      }
      for (const { id } of added) this.#forwards.remove(id);
      return opened;
    }
    const removed = [...open].filter(([text]) => !rules.has(text));
    for (const [, { id }] of removed) this.#forwards.remove(id);
    if (added.length + removed.length > 0) this.revision++;
    return success([
      ...removed.map(([text]) => changeOf('remove', direction, text)),
      ...added.map((forward) => changeOf('add', direction, textOf(forward))),
    ]);
  }

  /** Those that a rule's text says all of. */
  #open(direction: ForwardDirection): Map<string, OpenForward> {
    const open = new Map<string, OpenForward>();
    for (const forward of this.#forwards.list()) {
      const { auto, rule } = forward;
      const isPlain = forward.direction === direction && !auto && !rule.weak && rule.interfaceName === undefined;
      if (isPlain) open.set(textOf(forward), forward);
    }
    return open;
  }
}

function textOf({ protocol, rule }: OpenForward): string {
  return formatPublish({ protocol, ...rule });
}

function changeOf(action: RuleChange['action'], direction: ForwardDirection, text: string): RuleChange {
  const part = `publish ${NAMES[direction]} ${text}`;
  return { action, part, text: part };
}
