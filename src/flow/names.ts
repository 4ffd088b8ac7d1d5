/**
 * What an address is called: learnt from the DNS answers that pass, so that a flow can be shown, and judged, by the name that
 * the guest asked for.
 *
 * The name of an address is the question's name, not the last alias: who asks for www.example.org and is led by aliases to a content
 * network's node meant www.example.org. Aliases are followed from the question on, in whatever order they stand; an address that no
 * alias leads to is not learnt, nor is anything from a message that cannot be read in full.
 *
 * An address has one name, the one learnt last; names outlive their TTL, because flows do. `NAMES_MAX` addresses are known, then the one
 * whose answer came longest ago is forgotten.
 */
import { NAMES_MAX } from '../base/limits.ts';
import * as dns from '../wire/dns.ts';
import { AddressTable } from './address-table.ts';

/** Aliases in a row that are followed; resolvers give up at similar numbers. */
const ALIASES_MAX = 16;

/** Answer records that are looked at in one message. A message with more is learnt from in part. */
const ANSWERS_MAX = 256;

/** Names that are compared for one message: with each alias all answers are looked through, which a hostile message would have done many times over. */
const COMPARISONS_MAX = 512;

/** The last of the words in front of an IPv4 address in its mapped form. */
const MAPPED = 0xffff;

export class NameTable {
  readonly #places: AddressTable;
  readonly #names: string[];
  readonly #record: Int32Array = new Int32Array(dns.RECORD_WORDS);
  /** Where each answer record of the message at hand starts. */
  readonly #answers: Int32Array = new Int32Array(ANSWERS_MAX);
  #comparisonsLeft: number = 0;

  constructor(namesMax: number = NAMES_MAX) {
    this.#places = new AddressTable(namesMax);
    this.#names = new Array<string>(namesMax).fill('');
  }

  /** How many addresses have a name. */
  get count(): number {
    return this.#places.count;
  }

  /** Learns from the DNS message from `message` to `end`, if it is an answer that says anything. Returns how many addresses it named. */
  learn(view: DataView, message: number, end: number): number {
    if (dns.check(view, message, end) < 0) return 0;
    if (!dns.isResponse(view, message) || dns.responseCode(view, message) !== dns.RESPONSE_CODE.NO_ERROR) return 0;
    if (dns.questionCount(view, message) !== 1) return 0;
    const question = message + dns.HEADER_BYTES;
    this.#comparisonsLeft = COMPARISONS_MAX;
    const answers = this.#readAnswers(view, message, end);
    const target = this.#followAliases(view, message, end, question, answers);
    let name: string | undefined;
    let learnt = 0;
    for (let i = 0; i < answers; i++) {
      if (!this.#isAddressOf(view, message, end, i, target)) continue;
      name ??= dns.nameText(view, message, question, end)?.toLowerCase();
      if (name === undefined) return 0;
      this.#names[this.#takePlace(view)] = name;
      learnt++;
    }
    return learnt;
  }

  /** Names an address that no DNS answer names: one of our own. */
  add(name: string, w0: number, w1: number, w2: number, w3: number): void {
    this.#names[this.#places.take(w0, w1, w2, w3)] = name;
  }

  /** The name of an address, given as four words. */
  lookup(w0: number, w1: number, w2: number, w3: number): string | undefined {
    const place = this.#places.find(w0, w1, w2, w3);
    return place < 0 ? undefined : this.#names[place];
  }

  #readAnswers(view: DataView, message: number, end: number): number {
    const record = this.#record;
    const count = Math.min(dns.answerCount(view, message), ANSWERS_MAX);
    let at = dns.readQuestion(view, message + dns.HEADER_BYTES, end, record);
    for (let i = 0; i < count; i++) {
      this.#answers[i] = at;
      at = dns.readRecord(view, at, end, record);
    }
    return count;
  }

  /** Where the name stands that the question's name is an alias of in the end; the question itself when it is none. */
  #followAliases(view: DataView, message: number, end: number, question: number, answers: number): number {
    let target = question;
    for (let aliases = 0; aliases < ALIASES_MAX; aliases++) {
      const next = this.#aliasOf(view, message, end, target, answers);
      if (next < 0) return target;
      target = next;
    }
    return target;
  }

  #aliasOf(view: DataView, message: number, end: number, name: number, answers: number): number {
    const record = this.#record;
    for (let i = 0; i < answers; i++) {
      dns.readRecord(view, this.#answers[i], end, record);
      if (record[dns.RECORD.TYPE] !== dns.TYPE.CNAME || record[dns.RECORD.DATA_BYTES] === 0) continue;
      if (this.#isSame(view, message, record[dns.RECORD.NAME], name, end)) return record[dns.RECORD.DATA];
    }
    return -1;
  }

  /** Reads answer `i`, and says whether it is an address of `name`. */
  #isAddressOf(view: DataView, message: number, end: number, i: number, name: number): boolean {
    const record = this.#record;
    dns.readRecord(view, this.#answers[i], end, record);
    if (record[dns.RECORD.CLASS] !== dns.CLASS_INTERNET) return false;
    const dataBytes = record[dns.RECORD.DATA_BYTES];
    const isA = record[dns.RECORD.TYPE] === dns.TYPE.A && dataBytes === 4;
    const isAaaa = record[dns.RECORD.TYPE] === dns.TYPE.AAAA && dataBytes === 16;
    return (isA || isAaaa) && this.#isSame(view, message, record[dns.RECORD.NAME], name, end);
  }

  /** No two names are the same any more when the message has cost enough. */
  #isSame(view: DataView, message: number, a: number, b: number, end: number): boolean {
    return this.#comparisonsLeft-- > 0 && dns.sameName(view, message, a, b, end);
  }

  /** The place for the address of the record read last. */
  #takePlace(view: DataView): number {
    const at = this.#record[dns.RECORD.DATA];
    if (this.#record[dns.RECORD.DATA_BYTES] === 4) return this.#places.take(0, 0, MAPPED, view.getInt32(at));
    return this.#places.take(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
  }
}
