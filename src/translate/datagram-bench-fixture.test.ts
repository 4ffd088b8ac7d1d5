/** A small engine for the tests of UDP and ICMP: a graph, a flow table and translation on a simulated system, without links. */
import { isLoopbackWords } from '../base/address.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { FlowTable, OUTCOME_NAMES } from '../flow/flow-table.ts';
import type { GuestLink } from '../flow/guest-link.ts';
import { NameTable } from '../flow/names.ts';
import { Neighbours } from '../flow/neighbours.ts';
import { type Policy, VERDICT } from '../flow/policy.ts';
import type { PollHandler, TokenSpace } from '../flow/poll-handler.ts';
import { Graph } from '../graph/graph.ts';
import { ARC_DONE, type GraphNode, type Output } from '../graph/node.ts';
import { EthernetInput } from '../nodes/ethernet-input.ts';
import { Ip4Input } from '../nodes/ip4-input.ts';
import { Ip4Reassembly } from '../nodes/ip4-reassembly.ts';
import { Ip6Input } from '../nodes/ip6-input.ts';
import { Ip6Reassembly } from '../nodes/ip6-reassembly.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { Reassembly } from '../nodes/reassembly.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import type { DatagramDeps } from './datagram-deps.ts';
import { IcmpTranslate } from './icmp.ts';
import { IcmpErrors } from './icmp-error.ts';
import { UdpTranslate } from './udp.ts';

/** What the guest got: the frame and its virtio-net header. */
export interface GuestFrame {
  readonly vnet: number[];
  readonly frame: number[];
}

export interface BenchOptions {
  readonly offload?: LinkOffload;
  readonly mtu?: number;
  readonly flowsMax?: number;
  readonly policy?: Policy;
  /** Hears of flows that end, while their columns can be read. */
  readonly closed?: (flow: number) => void;
}

const ALLOW: Policy = { decide: () => VERDICT.ALLOW };
const EVENTS_MAX = 64;
/** What callers from the loopback look like: 10.0.2.2. */
const GATEWAY = 0x0a000202;

export class Bench {
  readonly sys: Sys;
  readonly packets: Packets = new Packets();
  readonly flows: FlowTable;
  readonly udp: UdpTranslate;
  readonly icmp: IcmpTranslate;
  readonly errors: IcmpErrors;
  readonly graph: Graph;
  readonly neighbours: Neighbours = new Neighbours();
  /** What the guest got and nobody has looked at yet. */
  readonly guest: GuestFrame[] = [];
  /** One line for each flow that ended: its outcome, packets out and in. */
  readonly ended: string[] = [];
  opened: number = 0;

  readonly #poll: number;
  readonly #timers: TimerWheel;
  readonly #clock: { nowUs: number };
  readonly #handlers: (PollHandler | undefined)[] = [];
  readonly #events: Int32Array = new Int32Array(EVENTS_MAX * 2);
  readonly #expired: Int32Array = new Int32Array(64);

  constructor(sys: Sys, options: BenchOptions = {}) {
    this.sys = sys;
    this.#poll = sys.pollCreate();
    this.#clock = { nowUs: sys.nowUs() };
    this.flows = new FlowTable(options.flowsMax ?? 64, 12345);
    this.#timers = new TimerWheel(this.flows.max, sys.nowUs() / 1000);
    const link: GuestLink = {
      index: 0,
      mtu: options.mtu ?? 1500,
      ourMacHigh: make.OUR_MAC_HIGH,
      ourMacLow: make.OUR_MAC_LOW,
      offload: options.offload ?? NO_OFFLOAD,
    };
    const base = {
      packets: this.packets,
      flows: this.flows,
      links: [link],
      clock: this.#clock,
      output: this.#output(),
    };
    this.errors = new IcmpErrors(base);
    const deps: DatagramDeps = {
      ...base,
      sys,
      poll: this.#poll,
      arenaMemory: sys.register(this.packets.bytes),
      timers: this.#timers,
      neighbours: this.neighbours,
      policy: options.policy ?? ALLOW,
      observer: {
        opened: () => this.opened++,
        closed: (flow) => {
          this.ended.push(this.#text(flow));
          options.closed?.(flow);
        },
      },
      tokens: this.#tokens(),
      errors: this.errors,
      names: new NameTable(16),
    };
    this.udp = new UdpTranslate(deps, CALLERS);
    this.icmp = new IcmpTranslate(deps);
    const store = new Reassembly();
    this.graph = new Graph([
      new EthernetInput([link]),
      new Ip4Input(),
      new Ip6Input(),
      new Ip4Reassembly(store),
      new Ip6Reassembly(store),
      this.udp,
      this.icmp.node4,
      this.icmp.node6,
      ...['arp-input', 'ndp-input', 'dhcp-input', 'dhcpv6-input', 'tcp-input'].map((name) => endNode(name)),
      endNode('interface-output', (packet) => base.output.emit(packet)),
    ]);
  }

  /** One turn: ready sockets, then these frames of the guest, then timers. */
  turn(...frames: (make.Bytes | { vnet: make.Bytes; frame: make.Bytes })[]): void {
    this.#clock.nowUs = this.sys.nowUs();
    this.packets.reset();
    this.#collect();
    this.packets.reset();
    const frame = Int32Array.from(frames, (bytes) =>
      'vnet' in bytes ? make.put(this.packets, bytes.frame, bytes.vnet) : make.put(this.packets, bytes),
    );
    if (frame.length > 0) this.graph.run(0, this.packets, frame, frame.length);
    this.#expire();
  }

  /** What the guest got since the last call. */
  taken(): GuestFrame[] {
    return this.guest.splice(0);
  }

  /** All drops, as `node reason count`. */
  drops(): string[] {
    return this.graph
      .counters()
      .flatMap(({ name, drops }) => Object.entries(drops).map(([reason, count]) => `${name} ${reason} ${count}`));
  }

  close(): void {
    this.udp.closeAll();
    this.icmp.closeAll();
    this.sys.close(this.#poll);
  }

  #collect(): void {
    const count = this.sys.pollCollect(this.#poll, this.#events, EVENTS_MAX, 0);
    for (let i = 0; i < count; i++) {
      const events = this.#events[i * 2];
      const token = this.#events[i * 2 + 1];
      if (token < 0) this.#handlers[~token]?.ready(events, token);
      else if (this.flows.protocol(token >> 1) === 17) this.udp.hostReady(token >> 1, events);
      else this.icmp.hostReady(token >> 1, events);
    }
  }

  #expire(): void {
    const count = this.#timers.advance(this.#clock.nowUs / 1000, this.#expired);
    for (let i = 0; i < count; i++) {
      const flow = this.#expired[i];
      if (this.flows.protocol(flow) === 17) this.udp.timerExpired(flow, this.#clock.nowUs);
      else this.icmp.timerExpired(flow, this.#clock.nowUs);
    }
  }

  #output(): Output {
    const { packets, guest } = this;
    return {
      emit(packet: number): void {
        const at = packets.start[packet];
        const vnet = [...packets.bytes.subarray(at - 12, at)];
        guest.push({ vnet, frame: make.taken(packets, packet) });
      },
      flush(): void {
        packets.reset();
      },
    };
  }

  #tokens(): TokenSpace {
    const handlers = this.#handlers;
    return {
      allocate: (handler) => ~(handlers.push(handler) - 1),
      release: (token) => {
        handlers[~token] = undefined;
      },
    };
  }

  #text(flow: number): string {
    const { outcome, packetsOut, packetsIn } = this.flows;
    return `${OUTCOME_NAMES[outcome[flow]]} ${packetsOut[flow]} ${packetsIn[flow]}`;
  }
}

const CALLERS: CallerMap = {
  map(address: Int32Array): void {
    if (isLoopbackWords(address[0], address[1], address[2], address[3])) address[3] = GATEWAY;
  },
};

function endNode(name: string, take: (packet: number) => void = () => {}): GraphNode {
  return {
    name,
    next: [],
    process(_packets, frame, count, arcs): void {
      for (let i = 0; i < count; i++) {
        take(frame[i]);
        arcs[i] = ARC_DONE;
      }
    },
  };
}
