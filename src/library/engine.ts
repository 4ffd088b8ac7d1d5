/** An engine inside of a program: the types of `createEngine`. */
import type { ConfigDocument } from '../control/client.ts';
import type { ApplyOptions, CaptureOptions, PingOptions, RunningNetwork } from '../network/running-network.ts';
import type { ApplyView, CaptureView, PingView, RouteView } from '../network/views.ts';
import type { CustomNode } from './custom-node.ts';

export interface CreateEngineOptions {
  /** How it is called in its views. Default `main`. */
  readonly name?: string | undefined;
  /** Flows with the host at one time; default 65536. */
  readonly flowsMax?: number | undefined;
  /** Nodes of the program's own. Several before one node see packets in this order. */
  readonly nodes?: readonly CustomNode[] | undefined;
  /** What happens, as lines. Default: warnings and errors go to the standard error. */
  readonly log?: ((level: 'error' | 'warning' | 'info' | 'debug', message: string) => void) | undefined;
}

type Views =
  | 'engine'
  | 'interfaces'
  | 'hardware'
  | 'taps'
  | 'bridges'
  | 'stations'
  | 'neighbours'
  | 'flows'
  | 'threads'
  | 'runtime'
  | 'errors'
  | 'eventLog'
  | 'onEvent'
  | 'traces'
  | 'nodes'
  | 'clear'
  | 'captures';

/** A running engine. What tells of it is plain data, made when it is asked for. What changes it throws a `TapsterError`, and then nothing has changed. It keeps the process alive until it is closed. */
export interface Engine extends Pick<RunningNetwork, Views> {
  /**
   * Changes the network to what the configuration says, all or nothing: a document, or YAML text, as docs/config.md describes it. What did not change keeps its flows and counters.
   * Throws `config-invalid` with every mistake in its message.
   */
  apply(config: ConfigDocument | string, options?: ApplyOptions): Promise<ApplyView>;
  routes(family: 'ipv4' | 'ipv6', query?: { readonly within?: string; readonly limit?: number }): RouteView[];
  /** Asks for the way of the next `count` packets that enter the node; `filter` in pcap syntax. */
  addTrace(node: string, count: number, filter?: string): { readonly node: string; readonly count: number };
  startCapture(options: CaptureOptions): CaptureView;
  stopCapture(name: string): Promise<CaptureView>;
  ping(options: PingOptions): Promise<PingView>;
  /** Ends all flows and takes down what was made. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
