/**
 * A VLAN sub-interface as a link (IEEE 802.1Q): frames that leave by it get its tag and leave by its parent's link.
 *
 * Nothing is received here: frames come in by the parent, and whoever reads it takes their tags off and gives them to the sub-interface (`packet/vlan-tag.ts`).
 *
 * The tag is put into a copy, since a frame that a bridge sends to many shares its bytes with the others. Copies lie in an arena of their own, `tagged`, which all
 * sub-interfaces of an engine share, because it is empty again when `transmit` returns. It is a part of the memory of the turn's arena and no other's part, for the reasons
 * that `software-offload.ts` gives for `segments`. It lies in front of the arenas of the links within, whose copies come from it (an arena's `bytes` end where it does):
 *
 *     const memory = new Uint8Array(ARENA_BYTES + TAG_ARENA_BYTES + SEGMENT_ARENA_BYTES);
 *     const packets = new Packets(ARENA_BYTES, PACKETS_MAX, memory);
 *     const tagged = new Packets(TAG_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
 *     const segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES + TAG_ARENA_BYTES);
 *
 * The parent gets copies in batches, as many as there is room for; order is kept.
 *
 * `offload` is the parent's: a tap takes a frame that is to be cut with a tag in it, and its kernel cuts behind the tag; where the parent lacks offloads, a `SoftwareOffload`
 * is its link, and that keeps tags too. So none is needed around this one. A capture of the parent's frames sees them with their tags, in `tagged`.
 *
 * Closing it closes nothing: the parent is not its own.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES_MAX } from '../base/limits.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { NO_PACKET, type Packets } from '../packet/packets.ts';
import { copyTagged, VLAN_ID_MAX, VLAN_ID_MIN, VLAN_TAG_BYTES } from '../packet/vlan-tag.ts';
import type { Link } from './link.ts';
import { MixedVector } from './mixed-vector.ts';

export class VlanLink implements Link {
  readonly name: string;
  readonly vlan: number;
  readonly #parent: Link;
  readonly #tagged: Packets;
  readonly #vector: MixedVector;

  /** `tagged` is empty, and is so again behind each `transmit`. */
  constructor(name: string, parent: Link, vlan: number, tagged: Packets) {
    assert(vlan >= VLAN_ID_MIN && vlan <= VLAN_ID_MAX, 'a VLAN id is 1 to 4094');
    assert(
      tagged.count === 0 && tagged.hasRoom(FRAME_BYTES_MAX + VLAN_TAG_BYTES),
      'an arena for tagged frames has room for the largest',
    );
    this.name = name;
    this.vlan = vlan;
    this.#parent = parent;
    this.#tagged = tagged;
    this.#vector = new MixedVector(parent, tagged);
  }

  get offload(): LinkOffload {
    return this.#parent.offload;
  }

  receive(): number {
    return 0;
  }

  get blocked(): boolean {
    return this.#parent.blocked === true;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    const vector = this.#vector;
    for (let i = 0; i < count; i++) {
      let copy = vector.isFull ? NO_PACKET : this.#copy(packets, frame[i]);
      if (copy === NO_PACKET) {
        vector.sendMade();
        copy = this.#copy(packets, frame[i]);
      }
      // One that has no room in an empty arena is larger than any frame may be.
      if (copy !== NO_PACKET) vector.addMade(packets, copy, 1);
    }
    return vector.flush(packets);
  }

  close(): void {}

  #copy(packets: Packets, packet: number): number {
    return copyTagged(packets, packet, this.#tagged, this.vlan);
  }
}
