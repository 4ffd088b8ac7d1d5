/**
 * Bytes of a capture file that wait to be written: the writers of `pcap.ts` and `pcapng.ts` append, the caller writes `bytes` from 0 to `length` out
 * and calls `reset`. It grows to the largest chunk that the caller lets gather, and is used again and again.
 */
export class PcapChunk {
  bytes: Uint8Array;
  view: DataView;
  length: number = 0;

  constructor(initialBytes: number = 64 * 1024) {
    this.bytes = new Uint8Array(initialBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  reset(): void {
    this.length = 0;
  }

  /** Makes room for `count` bytes at the end, their content not defined, and returns where they start. `bytes` and `view` may be others then. */
  reserve(count: number): number {
    const position = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      larger.set(this.bytes.subarray(0, position));
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return position;
  }

  uint16(value: number): void {
    const position = this.reserve(2);
    this.view.setUint16(position, value, true);
  }

  uint32(value: number): void {
    const position = this.reserve(4);
    this.view.setUint32(position, value, true);
  }

  uint8(value: number): void {
    const position = this.reserve(1);
    this.bytes[position] = value;
  }

  /** In network byte order, as in addresses. */
  int32BigEndian(value: number): void {
    const position = this.reserve(4);
    this.view.setInt32(position, value);
  }

  copy(source: Uint8Array, at: number, count: number): void {
    const position = this.reserve(count);
    this.bytes.set(source.subarray(at, at + count), position);
  }

  /** Appends zeros up to a multiple of 4. */
  pad(): void {
    const count = -this.length & 3;
    const position = this.reserve(count);
    this.bytes.fill(0, position, position + count);
  }

  /** Appends text as UTF-8, as many whole characters of it as fit into `bytesMax`, and returns how many bytes it took. */
  text(value: string, bytesMax: number): number {
    const start = this.length;
    for (const character of value) {
      const point = scalarValue(character);
      if (this.length - start + encodedBytes(point) > bytesMax) break;
      this.#encode(point);
    }
    return this.length - start;
  }

  #encode(point: number): void {
    const count = encodedBytes(point);
    const position = this.reserve(count);
    if (count === 1) {
      this.bytes[position] = point;
      return;
    }
    for (let i = count - 1, rest = point; i > 0; i--, rest >>>= 6) this.bytes[position + i] = 0x80 | (rest & 0x3f);
    this.bytes[position] = ((0xf00 >>> count) & 0xff) | (point >>> (6 * (count - 1)));
  }
}

/** Half a surrogate pair is no character; U+FFFD stands for it. */
function scalarValue(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  return point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
}

function encodedBytes(point: number): number {
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  return point < 0x1_0000 ? 3 : 4;
}
