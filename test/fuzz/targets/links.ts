/**
 * Links around links: what a VLAN sub-interface, a TUN device and software offload make of any frame, one behind another as in a running network.
 *
 * The first byte of an input says which offloads the device has (3 bits), whether it is a TUN device, and whether frames get a tag. The other parts are frames, virtio-net header in front,
 * each with its length. They are received by the device (with their tags taken off, where they have one) and sent back to it.
 */
import assert from 'node:assert/strict';
import { MacAddress } from '#tapster/base/address.js';
import {
  ARENA_BYTES,
  PACKETS_MAX,
  SEGMENT_ARENA_BYTES,
  TAG_ARENA_BYTES,
  TUN_ANSWERS_MAX,
} from '#tapster/base/limits.js';
import type { Random } from '#tapster/base/random.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import type { Link } from '#tapster/link/link.js';
import { SoftwareOffload } from '#tapster/link/software-offload.js';
import { TapLink } from '#tapster/link/tap.js';
import { TUN_HEADROOM_BYTES, TunLink } from '#tapster/link/tun-link.js';
import { VlanLink } from '#tapster/link/vlan.js';
import type { LinkOffload } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import { tagOf, untag, VLAN_TAG_BYTES } from '#tapster/packet/vlan-tag.js';
import type { SimulatedDevice } from '#tapster/sys/simulated/device.js';
import { SimulatedSys } from '#tapster/sys/simulated.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { VNET_BYTES } from '../frames.ts';
import { type ArenaView, guard } from '../guarded-view.ts';
import { DEVICES, TUN } from '../network-config.ts';
import { networkFrame, repairNetworkFrame } from '../network-frames.ts';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

const FRAMES_MAX = 6;
const VLAN = 100;
const CHECKSUM = 1;
const TCP_SEGMENTATION = 2;
const UDP_SEGMENTATION = 4;
const IS_TUN = 8;
const IS_TAGGED = 16;
/** Shorter parts are no frames. */
const HEADERS_BYTES: number = VNET_BYTES + 14;

export const linksTarget: FuzzTarget = {
  name: 'links',
  about: 'VLAN tags, TUN devices and software offload keep within frames, and give a device what it takes only',
  bytesMax: 16_384,
  millisecondsMax: 1000,
  generate: (random) => {
    const setting = random.below(32);
    const device = (setting & IS_TUN) !== 0 ? TUN : random.below(DEVICES.length - 1);
    const frames = Array.from({ length: random.between(1, FRAMES_MAX) }, () => networkFrame(random, device));
    return joinByLength([Uint8Array.of(setting), ...frames]);
  },
  split: splitByLength,
  join: joinByLength,
  repair: (part, random: Random) => {
    if (part.length > HEADERS_BYTES) repairNetworkFrame(part, random, random.chance(0.5) ? TUN : 0);
  },
  run,
};

function run(input: Uint8Array): void {
  const [settings = new Uint8Array(1), ...frames] = splitByLength(input);
  const setting = settings[0] ?? 0;
  const rig = new Links(setting);
  for (const bytes of frames) rig.device.send(bytes);
  rig.receive();
  rig.transmit();
}

class Links {
  readonly device: SimulatedDevice;
  readonly #offload: LinkOffload;
  readonly #packets: Packets;
  readonly #shared: readonly Packets[];
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #tun: TunLink | undefined;
  readonly #inner: Link;
  readonly #outer: Link;
  #count: number = 0;

  constructor(setting: number) {
    const sys = new SimulatedSys({ seed: 1 });
    const memory = new Uint8Array(ARENA_BYTES + SEGMENT_ARENA_BYTES + TAG_ARENA_BYTES);
    this.#packets = new Packets(ARENA_BYTES, PACKETS_MAX, memory);
    const tagged = new Packets(TAG_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
    const segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES + TAG_ARENA_BYTES);
    for (const packets of [this.#packets, segments, tagged]) guard(packets);
    this.#shared = [segments, tagged];
    this.device = sys.device({ onFrame: (bytes) => this.#sent(bytes) });
    this.#offload = {
      checksum: (setting & CHECKSUM) !== 0,
      tcpSegmentation: (setting & TCP_SEGMENTATION) !== 0,
      udpSegmentation: (setting & UDP_SEGMENTATION) !== 0,
    };
    const isTun = (setting & IS_TUN) !== 0;
    const tap = new TapLink(sys, {
      name: 'tap0',
      fd: this.device.fd,
      hasVnetHeader: true,
      offload: this.#offload,
      arenaMemory: sys.register(memory),
      headroom: isTun ? TUN_HEADROOM_BYTES : 0,
    });
    this.#tun = isTun
      ? new TunLink(tap, {
          ourMac: new MacAddress(0x02fe, 5),
          peerMac: new MacAddress(0x0200, 6),
          onAnswer: () => {},
        })
      : undefined;
    this.#inner = new SoftwareOffload(this.#tun ?? tap, segments);
    const isTagged = (setting & IS_TAGGED) !== 0;
    this.#outer = isTagged ? new VlanLink('tap0.100', this.#inner, VLAN, tagged) : this.#inner;
  }

  /** What the device had; of what is tagged the tag is taken off, where the frame's claims hold: a graph lets no others pass. */
  receive(): void {
    const packets = this.#packets;
    const got = this.#inner.receive(packets, this.#frame, FRAME_PACKETS_MAX);
    assert.ok(got >= 0 && got <= FRAME_PACKETS_MAX);
    (packets.view as ArenaView).sealed = true;
    for (let i = 0; i < got; i++) {
      const packet = this.#frame[i]!;
      const at = packets.start[packet]! - VNET_BYTES;
      if (packets.length[packet]! < ethernet.HEADER_BYTES || vnet.check(packets.view, at, packets.length[packet]!) < 0)
        continue;
      this.#untag(packet);
      this.#frame[this.#count++] = packet;
    }
    (packets.view as ArenaView).sealed = false;
  }

  /** Twice: a frame that a link was given stays as it was, but for a checksum that was completed. */
  transmit(): void {
    const packets = this.#packets;
    const before = this.#bytes();
    for (const time of [1, 2]) {
      const taken = this.#outer.transmit(packets, this.#frame, this.#count);
      assert.ok(taken >= 0 && taken <= this.#count, `${taken} of ${this.#count} frames are taken`);
      for (const each of this.#shared) assert.equal(each.count, 0, 'arenas that are shared are empty again');
      const lengths = this.#bytes().map(({ length }) => length);
      assert.deepEqual(
        lengths,
        before.map(({ length }) => length),
        `frames keep their length the ${time}. time`,
      );
    }
    if (this.#offload.checksum) assert.deepEqual(this.#bytes(), before, 'frames stay as they were');
    const answers = this.#inner.receive(packets, new Int32Array(FRAME_PACKETS_MAX), FRAME_PACKETS_MAX);
    assert.ok(answers >= 0 && answers <= TUN_ANSWERS_MAX, `${answers} answers`);
    assert.ok(this.#tun !== undefined || answers === 0, 'a tap answers nothing');
  }

  #untag(packet: number): void {
    const packets = this.#packets;
    const tag = tagOf(packets, packet);
    const length = packets.length[packet]!;
    assert.equal(untag(packets, packet), tag, 'what is there is taken off');
    assert.equal(packets.length[packet], tag < 0 ? length : length - VLAN_TAG_BYTES);
    const at = packets.start[packet]! - VNET_BYTES;
    const after = vnet.check(packets.view, at, packets.length[packet]!);
    assert.ok(tag < 0 || after >= 0 || after === vnet.HEADER_LENGTH_INVALID, `a header that held is wrong: ${after}`);
  }

  #bytes(): Uint8Array[] {
    const { bytes, start, length } = this.#packets;
    return Array.from(this.#frame.subarray(0, this.#count), (packet) => {
      return bytes.slice(start[packet]! - VNET_BYTES, start[packet]! + length[packet]!);
    });
  }

  #sent(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { checksum, tcpSegmentation, udpSegmentation } = this.#offload;
    const isPartial = (vnet.flags(view, 0) & vnet.FLAG_NEEDS_CSUM) !== 0;
    assert.ok(checksum || !isPartial, 'a partial checksum goes to a device that completes none');
    const kind = vnet.gsoType(view, 0) & ~vnet.GSO_ECN;
    if (kind === vnet.GSO_NONE) return;
    assert.ok(checksum, 'a frame to be cut goes to a device that completes no checksums');
    assert.ok(kind === vnet.GSO_UDP_L4 ? udpSegmentation : tcpSegmentation, `a frame of kind ${kind} is to be cut`);
  }
}
