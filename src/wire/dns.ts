/**
 * DNS messages: RFC 1035 section 4, with EDNS(0) tolerated and echoed (RFC 6891).
 *
 * | bytes | field                                                                   |
 * | ----- | ----------------------------------------------------------------------- |
 * | 0-1   | id                                                                      |
 * | 2-3   | QR 1 bit, opcode 4, AA, TC, RD, RA, Z, AD, CD, response code 4          |
 * | 4-11  | counts: questions, answers, authorities, additionals (2 bytes each)     |
 * | 12-   | questions (name, type, class), then records (name, type, class, 4 bytes |
 * |       | of TTL, 2 bytes of data length, data)                                   |
 *
 * Reading allocates nothing until the text of a name is asked for: questions and records are read one by one into a small Int32Array.
 * `check` walks the whole message once; behind it every offset that the readers return lies inside the message. A name may still be
 * unreadable (a compression pointer that leads nowhere or around in circles): `nameText` and `sameName` find that, and follow only pointers
 * that lead further back each time, so they end.
 *
 * Writing makes short answers in place, behind the question that they answer. Not here: DNSSEC, zone transfer, update, messages with
 * more than one question (no server answers them).
 */
import { isIpv4Words } from '../base/address.ts';

export const HEADER_BYTES = 12;
export const PORT = 53;

/** Octets of a name on the wire, with its length bytes, at most (RFC 1035, section 2.3.4). */
export const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;

/** Compression pointers followed for one label. Real servers need one; the bound keeps a hostile chain from costing time. */
const POINTERS_MAX = 16;

/** Labels of one name that lie behind pointers. A server writes one pointer, to the end of another name, which may end in one itself. */
const JUMPS_MAX = 16;

const FLAGS = 2;
const QUESTION_COUNT = 4;
const ANSWER_COUNT = 6;
const AUTHORITY_COUNT = 8;
const ADDITIONAL_COUNT = 10;

const FLAG_RESPONSE = 0x8000;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_CHECKING_DISABLED = 0x0010;

export const TYPE = { A: 1, CNAME: 5, PTR: 12, AAAA: 28, OPT: 41 } as const;
export const CLASS_INTERNET = 1;
export const RESPONSE_CODE = { NO_ERROR: 0, NAME_UNKNOWN: 3 } as const;

/** What was wrong: the message ends too early. */
export const TOO_SHORT = -1;
/** A label longer than 63 bytes, a name longer than 255, a character that a name cannot have. */
export const NAME_INVALID = -2;
/** Not one standard question (`readQuery`). */
export const QUERY_INVALID = -3;

/** The words of a question or record, as `readQuestion` and `readRecord` fill them; a question has only the first three. */
export const RECORD = { NAME: 0, TYPE: 1, CLASS: 2, TTL_SECONDS: 3, DATA: 4, DATA_BYTES: 5 } as const;
export const RECORD_WORDS = 6;

/** The words that `readQuery` fills: the question, the offset behind it, and 1 where the sender speaks EDNS. */
export const QUERY = { NAME: 0, TYPE: 1, CLASS: 2, BEHIND: 3, EDNS: 4 } as const;
export const QUERY_WORDS = 5;

/** Payload that we take by UDP, said in our OPT record: what needs no fragment anywhere (the value of DNS flag day 2020). */
const EDNS_PAYLOAD_BYTES = 1232;

/** A pointer to offset 12, where the only question's name starts. */
const QUESTION_POINTER = 0xc000 | HEADER_BYTES;

export function id(view: DataView, message: number): number {
  return view.getUint16(message);
}

export function isResponse(view: DataView, message: number): boolean {
  return (view.getUint16(message + FLAGS) & FLAG_RESPONSE) !== 0;
}

export function opcode(view: DataView, message: number): number {
  return (view.getUint16(message + FLAGS) >> 11) & 0xf;
}

export function responseCode(view: DataView, message: number): number {
  return view.getUint16(message + FLAGS) & 0xf;
}

export function questionCount(view: DataView, message: number): number {
  return view.getUint16(message + QUESTION_COUNT);
}

export function answerCount(view: DataView, message: number): number {
  return view.getUint16(message + ANSWER_COUNT);
}

/** Walks the message at `message`, which ends at `end` or before. Returns its bytes, or a negative constant. */
export function check(view: DataView, message: number, end: number): number {
  if (end - message < HEADER_BYTES) return TOO_SHORT;
  let at = message + HEADER_BYTES;
  for (let left = questionCount(view, message); left > 0; left--) {
    at = skipName(view, at, end);
    if (at < 0) return at;
    at += 4;
    if (at > end) return TOO_SHORT;
  }
  for (let left = recordCount(view, message); left > 0; left--) {
    at = skipRecord(view, at, end);
    if (at < 0) return at;
  }
  return at - message;
}

/** Reads the question at `at` into `question` (words as in `RECORD`). Returns the offset behind it, or a negative constant. */
export function readQuestion(view: DataView, at: number, end: number, question: Int32Array): number {
  const fields = skipName(view, at, end);
  if (fields < 0) return fields;
  if (fields + 4 > end) return TOO_SHORT;
  question[RECORD.NAME] = at;
  question[RECORD.TYPE] = view.getUint16(fields);
  question[RECORD.CLASS] = view.getUint16(fields + 2);
  return fields + 4;
}

/** Reads the record at `at` into `record` (words as in `RECORD`). Returns the offset behind it, or a negative constant. */
export function readRecord(view: DataView, at: number, end: number, record: Int32Array): number {
  const behind = skipRecord(view, at, end);
  if (behind < 0) return behind;
  const fields = skipName(view, at, end);
  record[RECORD.NAME] = at;
  record[RECORD.TYPE] = view.getUint16(fields);
  record[RECORD.CLASS] = view.getUint16(fields + 2);
  record[RECORD.TTL_SECONDS] = view.getInt32(fields + 4);
  record[RECORD.DATA] = fields + 10;
  record[RECORD.DATA_BYTES] = view.getUint16(fields + 8);
  return behind;
}

/**
 * The text of the name at `at`, or undefined when it cannot be read. Bytes that do not print become \ddd, a dot or backslash within a label is
 * escaped (RFC 1035, section 5.1), so the text is safe on a terminal and in a log. No final dot; the root is ".".
 */
export function nameText(view: DataView, message: number, at: number, end: number): string | undefined {
  let text = '';
  let octets = 1;
  let floor = at;
  let jumps = 0;
  for (;;) {
    const label = follow(view, message, at, end, floor);
    if (label < 0 || (label !== at && ++jumps > JUMPS_MAX)) return undefined;
    if (label < floor) floor = label;
    const bytes = view.getUint8(label);
    if (bytes === 0) return text === '' ? '.' : text;
    octets += bytes + 1;
    at = label + 1 + bytes;
    if (octets > NAME_BYTES_MAX || at > end) return undefined;
    if (text !== '') text += '.';
    for (let i = label + 1; i < at; i++) text += printable(view.getUint8(i));
  }
}

/** Whether the names at `a` and `b` of one message are the same, letters compared without case (RFC 4343). */
export function sameName(view: DataView, message: number, a: number, b: number, end: number): boolean {
  let floorA = a;
  let floorB = b;
  let jumps = 0;
  for (let octets = 1; octets <= NAME_BYTES_MAX; ) {
    const labelA = follow(view, message, a, end, floorA);
    const labelB = follow(view, message, b, end, floorB);
    if (labelA < 0 || labelB < 0) return false;
    if (labelA !== a) jumps++;
    if (labelB !== b) jumps++;
    if (jumps > 2 * JUMPS_MAX) return false;
    a = labelA;
    b = labelB;
    // Both have led to the same place: what follows is the same bytes.
    if (a === b) return true;
    if (a < floorA) floorA = a;
    if (b < floorB) floorB = b;
    const bytes = view.getUint8(a);
    if (view.getUint8(b) !== bytes || a + 1 + bytes > end || b + 1 + bytes > end) return false;
    if (bytes === 0) return true;
    for (let i = 1; i <= bytes; i++) {
      if (lowerCase(view.getUint8(a + i)) !== lowerCase(view.getUint8(b + i))) return false;
    }
    a += bytes + 1;
    b += bytes + 1;
    octets += bytes + 1;
  }
  return false;
}

/** Writes `text` (as `nameText` gives it; a final dot is allowed) as an uncompressed name. Returns the offset behind it, or a negative constant. */
export function writeName(view: DataView, at: number, end: number, text: string): number {
  const start = at;
  let label = at++;
  if (at > end) return TOO_SHORT;
  for (let i = text === '.' ? 1 : 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code === 0x2e) {
      const bytes = at - label - 1;
      if (bytes === 0 || bytes > LABEL_BYTES_MAX) return NAME_INVALID;
      view.setUint8(label, bytes);
      label = at++;
    } else {
      if (code === 0x5c) {
        const decimal = /^\d{3}/.exec(text.slice(i + 1, i + 4));
        code = decimal === null ? text.charCodeAt(i + 1) : Number(decimal[0]);
        i += decimal === null ? 1 : 3;
      }
      // A character beyond the text's end is NaN, which fails this too.
      if (!(code <= 0xff)) return NAME_INVALID;
      if (at < end) view.setUint8(at, code);
      at++;
    }
    if (at > end) return TOO_SHORT;
  }
  const bytes = at - label - 1;
  if (bytes > LABEL_BYTES_MAX) return NAME_INVALID;
  view.setUint8(label, bytes);
  if (bytes > 0) {
    if (at >= end) return TOO_SHORT;
    view.setUint8(at++, 0);
  }
  return at - start > NAME_BYTES_MAX ? NAME_INVALID : at;
}

/** Reads a standard query with exactly one question into `query` (words as in `QUERY`). Returns 0 or a negative constant. */
export function readQuery(view: DataView, message: number, end: number, query: Int32Array): number {
  const bytes = check(view, message, end);
  if (bytes < 0) return bytes;
  if (isResponse(view, message) || opcode(view, message) !== 0) return QUERY_INVALID;
  if (questionCount(view, message) !== 1) return QUERY_INVALID;
  let at = readQuestion(view, message + HEADER_BYTES, end, query);
  query[QUERY.BEHIND] = at;
  query[QUERY.EDNS] = 0;
  for (let left = recordCount(view, message); left > 0; left--) {
    if (view.getUint16(skipName(view, at, end)) === TYPE.OPT) query[QUERY.EDNS] = 1;
    at = skipRecord(view, at, end);
  }
  return 0;
}

/** Turns the query at `message` into a response without answers. Returns where the first answer goes: right behind the question. */
export function beginResponse(view: DataView, message: number, query: Int32Array, code: number): number {
  const kept = view.getUint16(message + FLAGS) & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
  view.setUint16(message + FLAGS, kept | FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | code);
  view.setUint16(message + ANSWER_COUNT, 0);
  view.setUint16(message + AUTHORITY_COUNT, 0);
  view.setUint16(message + ADDITIONAL_COUNT, 0);
  return query[QUERY.BEHIND];
}

/** Appends an A record (for a mapped address) or an AAAA record that answers the question. Returns the offset behind it, or `TOO_SHORT`. */
export function appendAddress(
  view: DataView,
  message: number,
  at: number,
  limit: number,
  ttlSeconds: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  const isA = isIpv4Words(w0, w1, w2);
  const dataBytes = isA ? 4 : 16;
  const data = at + 12;
  if (data + dataBytes > limit) return TOO_SHORT;
  view.setUint16(at, QUESTION_POINTER);
  view.setUint16(at + 2, isA ? TYPE.A : TYPE.AAAA);
  view.setUint16(at + 4, CLASS_INTERNET);
  view.setInt32(at + 6, ttlSeconds);
  view.setUint16(at + 10, dataBytes);
  if (!isA) {
    view.setInt32(data, w0);
    view.setInt32(data + 4, w1);
    view.setInt32(data + 8, w2);
  }
  view.setInt32(data + dataBytes - 4, w3);
  view.setUint16(message + ANSWER_COUNT, answerCount(view, message) + 1);
  return data + dataBytes;
}

/** Ends a response: to a sender that speaks EDNS it must have an OPT record (RFC 6891, section 6.1.1). Returns its end, or `TOO_SHORT`. */
export function endResponse(view: DataView, message: number, at: number, limit: number, query: Int32Array): number {
  if (query[QUERY.EDNS] === 0) return at;
  if (at + 11 > limit) return TOO_SHORT;
  view.setUint8(at, 0);
  view.setUint16(at + 1, TYPE.OPT);
  view.setUint16(at + 3, EDNS_PAYLOAD_BYTES);
  view.setInt32(at + 5, 0);
  view.setUint16(at + 9, 0);
  view.setUint16(message + ADDITIONAL_COUNT, 1);
  return at + 11;
}

function recordCount(view: DataView, message: number): number {
  return (
    view.getUint16(message + ANSWER_COUNT) +
    view.getUint16(message + AUTHORITY_COUNT) +
    view.getUint16(message + ADDITIONAL_COUNT)
  );
}

/** The offset behind the name at `at`: pointers are not followed. */
function skipName(view: DataView, at: number, end: number): number {
  const start = at;
  while (at < end) {
    const label = view.getUint8(at);
    if (label === 0) return at + 1;
    if ((label & 0xc0) === 0xc0) return at + 2 <= end ? at + 2 : TOO_SHORT;
    if (label > LABEL_BYTES_MAX) return NAME_INVALID;
    at += label + 1;
    if (at - start >= NAME_BYTES_MAX) return NAME_INVALID;
  }
  return TOO_SHORT;
}

function skipRecord(view: DataView, at: number, end: number): number {
  const fields = skipName(view, at, end);
  if (fields < 0) return fields;
  if (fields + 10 > end) return TOO_SHORT;
  const behind = fields + 10 + view.getUint16(fields + 8);
  return behind <= end ? behind : TOO_SHORT;
}

/**
 * Where the label at `at` really lies, pointers followed, or a negative constant. A pointer must lead in front of `floor`, the lowest
 * offset that this name has come from so far; so no name can go around in circles.
 */
function follow(view: DataView, message: number, at: number, end: number, floor: number): number {
  for (let pointers = 0; pointers <= POINTERS_MAX; pointers++) {
    if (at >= end) return TOO_SHORT;
    const label = view.getUint8(at);
    if (label <= LABEL_BYTES_MAX) return at;
    if (label < 0xc0) return NAME_INVALID;
    if (at + 2 > end) return TOO_SHORT;
    at = message + (view.getUint16(at) & 0x3fff);
    if (at >= floor) return NAME_INVALID;
    floor = at;
  }
  return NAME_INVALID;
}

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function printable(byte: number): string {
  if (byte === 0x2e || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\${String(byte).padStart(3, '0')}`;
}
