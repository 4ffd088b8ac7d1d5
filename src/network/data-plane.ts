/**
 * What moves packets in a running network: an engine wired for forwarding, its tables, and the arenas that its links share. It is told what to have by the parts of the
 * configuration (`tap-parts.ts`, `forwarding-parts.ts`, `service-parts.ts`), and knows nothing of them.
 */
import { MacAddress } from '../base/address.ts';
import {
  ARENA_BYTES,
  JOIN_ARENA_BYTES,
  SEGMENT_ARENA_BYTES,
  STREAM_INTERFACES_MAX,
  STREAM_MEMORY_BYTES,
  TAG_ARENA_BYTES,
} from '../base/limits.ts';
import { Engine } from '../engine/engine.ts';
import type { FlowSink } from '../engine/flow-record.ts';
import { FlowReporter } from '../engine/flow-reporter.ts';
import { randomWord } from '../engine/random-word.ts';
import { ResolverWatch } from '../engine/resolver-watch.ts';
import { NameTable } from '../flow/names.ts';
import type { Insertion } from '../graph/insert-nodes.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { StreamMemory } from '../link/stream-link.ts';
import { Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import { Captures } from './captures.ts';
import { Forwarding } from './forwarding.ts';
import { ForwardingWiring, type ForwardingWiringOptions } from './forwarding-wiring.ts';
import { carries, isDevice, offloadOf, type Port, Ports } from './port.ts';
import { UplinkPolicy, type UplinkSettings } from './uplink-policy.ts';
import type { CaptureView } from './views.ts';

const LINK_ARENA_BYTES: number = TAG_ARENA_BYTES + JOIN_ARENA_BYTES + SEGMENT_ARENA_BYTES;

export interface DataPlaneOptions {
  readonly flowsMax?: number;
  readonly onConflict: ForwardingWiringOptions['onConflict'];
  readonly flowSink: FlowSink;
  readonly onCaptureEnded: (view: CaptureView) => void;
  /** Further nodes of the graph. */
  readonly nodes: readonly Insertion[];
  /** 32 bits that nobody can guess; the system's unless said. */
  readonly random?: () => number;
}

export class DataPlane {
  readonly sys: Sys;
  readonly engine: Engine;
  readonly forwarding: Forwarding;
  readonly wiring: ForwardingWiring;
  readonly ports: Ports = new Ports();
  readonly captures: Captures;
  readonly policy: UplinkPolicy;
  readonly names: NameTable = new NameTable();
  readonly reporter: FlowReporter;
  /** Arenas that links share, in the engine's memory, in the order in which a frame goes through them: see `link/vlan.ts`, `coalesce.ts` and `software-offload.ts`. */
  readonly tagged: Packets;
  readonly joined: Packets;
  readonly segments: Packets;

  constructor(sys: Sys, options: DataPlaneOptions) {
    const { onConflict, nodes, random = randomWord } = options;
    const forwarding = new Forwarding(random);
    this.sys = sys;
    this.forwarding = forwarding;
    this.captures = new Captures({ application: 'tapster', onEnded: options.onCaptureEnded });
    this.policy = new UplinkPolicy(forwarding.addresses, NOTHING_ALLOWED, []);
    this.wiring = new ForwardingWiring({ forwarding, random, onConflict, nodes });
    let reporter: FlowReporter | undefined;
    this.engine = new Engine(sys, {
      ...(options.flowsMax === undefined ? {} : { flowsMax: options.flowsMax }),
      policy: this.policy,
      callers: this.policy,
      names: this.names,
      wiring: this.wiring,
      observer: (flows) => {
        reporter = new FlowReporter(flows, this.names, [options.flowSink], () => sys.nowUs());
        return new ResolverWatch(flows, this.policy, reporter);
      },
      random,
      extraBytes: LINK_ARENA_BYTES + STREAM_INTERFACES_MAX * STREAM_MEMORY_BYTES,
    });
    this.reporter = reporter!;
    this.wiring.onGuestSettled = () => this.engine.retryCallers();
    const { memory } = this.engine;
    const joined = ARENA_BYTES + TAG_ARENA_BYTES;
    this.tagged = new Packets(TAG_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
    this.joined = new Packets(JOIN_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined);
    this.segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined + JOIN_ARENA_BYTES);
  }

  /** Where the stream of that number keeps what waits. Pages that none has used take no memory. */
  streamMemory(slot: number): StreamMemory {
    const { memory, arenaMemory } = this.engine;
    const at = ARENA_BYTES + LINK_ARENA_BYTES + slot * STREAM_MEMORY_BYTES;
    return { bytes: memory, id: arenaMemory, at, length: STREAM_MEMORY_BYTES };
  }

  get nowMs(): number {
    return this.sys.nowUs() / 1000;
  }

  /** Brings what follows from a port's state up to date: whether it carries, and who flows find behind it. */
  refresh(port: Port): void {
    const { interfaces } = this.forwarding;
    const { index } = port;
    this.forwarding.setUp(index, carries(port));
    this.engine.setUp(index, carries(port));
    const isRouted = port.kind === 'bvi' || port.bridge === undefined;
    this.engine.setGuestLink(
      index,
      isRouted
        ? {
            index,
            mtu: interfaces.mtu[index]!,
            ourMacHigh: interfaces.macHigh[index]!,
            ourMacLow: interfaces.macLow[index]!,
            // As it is at each frame: a machine that is plugged in settles it later.
            get offload() {
              return offloadOf(port);
            },
          }
        : undefined,
    );
    if (isDevice(port)) for (const sub of this.ports.under(port)) this.refresh(sub);
  }

  /** Takes a port away, of which nothing depends any more. */
  remove(port: Port): void {
    const { index } = port;
    this.captures.removeInterface(index);
    this.wiring.forgetInterface(index);
    this.engine.removeInterface(index);
    this.policy.setDns(index, undefined);
    this.forwarding.removeInterface(index);
    this.ports.remove(port);
  }
}

/** Until there is an uplink. */
const NOTHING_ALLOWED: UplinkSettings = { tcp: false, udp: false, icmp: false, allowMetadata: false };

/** Locally administered, of the kind that people know from VPP. */
export function randomMac(): MacAddress {
  return new MacAddress(0x02fe, randomWord());
}
