/** A client that remembers what it was asked, and answers what it was given. */
import type { Client } from '../../control/client.ts';

export type Call = readonly [method: string, ...args: unknown[]];

/** `answers`: by method; what is not there answers nothing. A function is called with the arguments. */
export function fakeClient(calls: Call[], answers: Readonly<Record<string, unknown>> = {}): Client {
  const handler: ProxyHandler<object> = {
    get: (_target, method) => {
      // A promise that gives this client asks it whether it is one.
      if (method === 'then') return undefined;
      return (...args: unknown[]): unknown => {
        calls.push([String(method), ...args]);
        const answer = answers[String(method)];
        return method === 'events' ? answer : Promise.resolve(typeof answer === 'function' ? answer(...args) : answer);
      };
    },
  };
  return new Proxy({}, handler) as Client;
}
