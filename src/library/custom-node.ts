/**
 * Nodes of a program's own in an engine's graph: they see packets on their way to a node of the engine's, may change them, and say which of them go no further.
 *
 * ```js
 * let pings = 0;
 * const counter = {
 *   name: 'ping-counter',
 *   before: 'ip4-lookup',
 *   process(packets, frame, count) {
 *     for (let i = 0; i < count; i++) if (packets.protocol[frame[i]] === icmp.PROTOCOL) pings++;
 *   },
 * };
 * ```
 *
 * `process` is on the packet path: it is called for up to 256 packets at a time, between receiving and sending, and everybody waits for it. Make no objects there, and await nothing. A
 * node that throws, or writes a verdict that is none, has its packets of that call dropped, as a node that guards something must not be open when it is broken; the engine goes on and tells of it.
 */
import { failure, type Result, success } from '../base/result.ts';
import type { Insertion } from '../graph/insert-nodes.ts';
import { ARC_DROP, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packets } from '../packet/packets.ts';

/** Goes on to the node that this one stands before. What a verdict is unless it is written. */
export const PASS: number = ARC_NEXT;
/** Goes no further, and is counted as `policy-refused` of this node. */
export const DROP: number = ARC_DROP;

/**
 * The packets of a turn as columns: what is known of packet `p` stands at `p` in each of them. Places are offsets into `bytes` and `view`.
 *
 * Read the columns and change the bytes; a length or a place is the engine's to set. Nothing of it is valid when `process` has returned.
 */
export type PacketColumns = Pick<
  Packets,
  'bytes' | 'view' | 'start' | 'length' | 'network' | 'transport' | 'protocol' | 'end' | 'rxInterface'
>;

/**
 * Where nodes may stand, and what they see there.
 *
 * | before           | sees                                                                                 | known     |
 * | ---------------- | ------------------------------------------------------------------------------------ | --------- |
 * | `ip4-input`      | IPv4 packets for the IP layer, not judged yet                                        | `network` |
 * | `ip6-input`      | the same of IPv6                                                                     | `network` |
 * | `ip4-lookup`     | valid IPv4 packets, to be routed or for us; fragments for us come again when whole    | all       |
 * | `ip6-lookup`     | the same of IPv6                                                                     | all       |
 * | `tcp-input`, ... | whole packets that become sockets of the host: the uplink's                          | all       |
 */
export const CUSTOM_NODE_PLACES = [
  'ip4-input',
  'ip6-input',
  'ip4-lookup',
  'ip6-lookup',
  'tcp-input',
  'udp-input',
  'icmp-input',
  'icmp6-input',
] as const;

export interface CustomNode {
  /** In kebab-case: `port-knocker`. It is `custom-port-knocker` in `show runtime`, `show errors` and `show trace`. */
  readonly name: string;
  readonly before: (typeof CUSTOM_NODE_PLACES)[number];
  /** Looks at `count` packets, `frame[0]` to `frame[count - 1]`; `verdicts[i]` is what becomes of `frame[i]`. */
  process(packets: PacketColumns, frame: Int32Array, count: number, verdicts: Uint8Array): void;
  /** What of a packet is worth a line in the trace. Called for traced packets only. */
  describe?(packets: PacketColumns, packet: number): string | undefined;
}

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const NAME_CHARACTERS_MAX = 32;

/** What programs without types may have got wrong. */
export function checkCustomNodes(nodes: readonly CustomNode[]): Result<void> {
  const names = new Set<string>();
  for (const { name, before, process } of nodes) {
    const shown = JSON.stringify(name);
    if (typeof name !== 'string' || !NAME.test(name) || name.length > NAME_CHARACTERS_MAX) {
      return failure('node-invalid', `${shown} can not be the name of a node: give one like "port-knocker"`);
    }
    if (names.has(name)) return failure('node-invalid', `there are two nodes ${name}: give each a name of its own`);
    if (!CUSTOM_NODE_PLACES.includes(before)) {
      const places = CUSTOM_NODE_PLACES.join(', ');
      return failure('node-invalid', `${name} can not stand before ${JSON.stringify(before)}, but before ${places}`);
    }
    if (typeof process !== 'function') return failure('node-invalid', `${name} has no function "process"`);
    names.add(name);
  }
  return success(undefined);
}

/** The node as a part of a graph. `failed` hears of the first error only. */
export function asInsertion(custom: CustomNode, failed: (error: unknown) => void): Insertion {
  const name = `custom-${custom.name}`;
  return { name, before: custom.before, make: (next) => new GuardedNode(name, custom, next, failed) };
}

class GuardedNode implements GraphNode {
  readonly name: string;
  readonly next: readonly string[];
  readonly #custom: CustomNode;
  readonly #failed: (error: unknown) => void;
  #hasFailed: boolean = false;

  constructor(name: string, custom: CustomNode, next: string, failed: (error: unknown) => void) {
    this.name = name;
    this.next = [next];
    this.#custom = custom;
    this.#failed = failed;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    arcs.fill(PASS, 0, count);
    try {
      this.#custom.process(packets, frame, count, arcs);
      for (let i = 0; i < count; i++) if (arcs[i] !== PASS && arcs[i] !== DROP) throw this.#noVerdict(arcs[i]!);
    } catch (error) {
      arcs.fill(DROP, 0, count);
      if (!this.#hasFailed) this.#failed(error);
      this.#hasFailed = true;
    }
    for (let i = 0; i < count; i++) if (arcs[i] === DROP) packets.reason[frame[i]!] = REASON['policy-refused'];
  }

  describe(packets: Packets, packet: number): string | undefined {
    try {
      return this.#custom.describe?.(packets, packet);
    } catch {
      return undefined;
    }
  }

  #noVerdict(verdict: number): Error {
    return new Error(
      `the node ${this.name} wrote the verdict ${verdict}: a packet is PASS (${PASS}) or DROP (${DROP})`,
    );
  }
}
