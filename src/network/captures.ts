/**
 * Captures that are started and stopped while the network runs: `pcap trace`. Each has a file, and sees one interface or `any`: all that there are, and those that come.
 *
 * A capture ends when it is stopped, when it has reached a limit, when its interface goes or its file can't be written. It is listed as ended then, until it is stopped or
 * CAPTURES_ENDED_MAX others have ended. `onEnded` hears of each one, whoever ended it, once its file is complete.
 *
 * Frames are seen at the interface's link: `rx` when they have come in, `tx` when the link has taken them, as they lie in the arena (see `link/capture.ts`). Nothing here
 * ever waits for the disk.
 */
import { isAbsolute } from 'node:path';
import { CAPTURES_ENDED_MAX, CAPTURES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { CapturePoint } from '../link/capture-point.ts';
import { compileFilter } from '../packet/filter/compile.ts';
import { Capture } from './capture.ts';
import { createCaptureFile, isClassic } from './capture-file.ts';
import type { CaptureOptions } from './running-network.ts';
import type { CaptureView } from './views.ts';

const ANY = 'any';
const NAME = /^[A-Za-z0-9][-A-Za-z0-9_.:]{0,63}$/;
/** Less would not even hold the Ethernet header. */
const BYTES_PER_PACKET_MIN = 14;

export interface CapturesDeps {
  /** Program and version, for the files. */
  readonly application: string;
  readonly onEnded: (view: CaptureView) => void;
  /** Milliseconds since the epoch, with fractions. */
  readonly now?: () => number;
}

interface Interface {
  readonly name: string;
  /** One for each queue that has a link of its own. */
  readonly points: CapturePoint[];
}

export class Captures {
  readonly #deps: CapturesDeps;
  readonly #interfaces: Map<number, Interface> = new Map();
  /** By name, in the order in which they were started. */
  readonly #captures: Map<string, Capture> = new Map();

  constructor(deps: CapturesDeps) {
    this.#deps = deps;
  }

  /** Captures of `any` see it from now on. To be called once more for each further link of the same interface. */
  addInterface(index: number, name: string, point: CapturePoint): void {
    const known = this.#interfaces.get(index);
    if (known === undefined) this.#interfaces.set(index, { name, points: [point] });
    else known.points.push(point);
    for (const capture of this.#captures.values()) {
      if (capture.sees(index)) capture.attach(index, name, point);
    }
  }

  /** Captures of this interface alone end. */
  removeInterface(index: number): void {
    const gone = this.#interfaces.get(index);
    if (gone === undefined) return;
    this.#interfaces.delete(index);
    for (const capture of this.#captures.values()) {
      capture.detach(index);
      if (capture.index === index) capture.end(`interface ${gone.name} is gone`);
    }
  }

  /** Whether a capture that runs sees the interface. */
  sees(index: number): boolean {
    for (const capture of this.#captures.values()) if (capture.active && capture.sees(index)) return true;
    return false;
  }

  start(options: CaptureOptions): Result<CaptureView> {
    const mistake = this.#mistake(options);
    if (mistake !== undefined) return mistake;
    const filter = options.filter === undefined ? undefined : compileFilter(options.filter);
    if (filter?.ok === false) return filter;
    const index = this.#indexOf(options.interface);
    if (!index.ok) return index;
    const name = options.name ?? this.#freeName(options.interface);
    let capture: Capture | undefined;
    const file = createCaptureFile({
      path: options.file,
      application: this.#deps.application,
      comment: commentOf(options),
      bytesPerPacketMax: options.bytesPerPacketMax,
      now: this.#deps.now ?? (() => performance.timeOrigin + performance.now()),
      failed: (reason) => capture?.end(`the file can't be written: ${reason}`),
    });
    if (!file.ok) return file;
    capture = new Capture({ ...options, name }, index.value, filter?.value, file.value, (ended) => this.#ended(ended));
    this.#captures.delete(name);
    this.#captures.set(name, capture);
    for (const [each, { name, points }] of this.#interfaces) {
      if (capture.sees(each)) for (const point of points) capture.attach(each, name, point);
    }
    return success(capture.view());
  }

  /** Ends it, and forgets it. Resolves when its file is complete. */
  async stop(name: string): Promise<Result<CaptureView>> {
    const capture = this.#captures.get(name);
    if (capture === undefined) {
      const names = [...this.#captures.keys()].join(', ');
      const there = names === '' ? 'there are none' : `there are ${names}`;
      return failure('capture-unknown', `there is no capture "${name}"; ${there}`);
    }
    this.#captures.delete(name);
    capture.end('stopped');
    await capture.complete;
    return success(capture.view());
  }

  /** In the order in which they were started. */
  list(): CaptureView[] {
    return [...this.#captures.values()].map((capture) => capture.view());
  }

  /** Ends all of them. Resolves when all files are complete. */
  async close(): Promise<void> {
    const captures = [...this.#captures.values()];
    for (const capture of captures) capture.end('the network has ended');
    await Promise.all(captures.map((capture) => capture.complete));
  }

  #ended(capture: Capture): void {
    this.#deps.onEnded(capture.view());
    const ended = [...this.#captures].filter(([, each]) => !each.active);
    for (const [name] of ended.slice(0, Math.max(0, ended.length - CAPTURES_ENDED_MAX))) this.#captures.delete(name);
  }

  #mistake(options: CaptureOptions): ReturnType<typeof failure> | undefined {
    const { name, file } = options;
    const running = [...this.#captures.values()].filter(({ active }) => active).length;
    if (running >= CAPTURES_MAX) {
      return failure('captures-full', `${running} captures are running, as many as there may be; stop one`);
    }
    if (name !== undefined && !NAME.test(name)) {
      const rule = 'use up to 64 letters, digits, "-", "_", "." and ":", the first a letter or a digit';
      return failure('capture-name-invalid', `${JSON.stringify(name)} can't be the name of a capture; ${rule}`);
    }
    if (name !== undefined && this.#captures.get(name)?.active) {
      return failure('capture-name-taken', `capture "${name}" is running already; stop it, or choose another name`);
    }
    if (!isAbsolute(file) || file.includes('\0')) {
      return failure('capture-file-invalid', `${JSON.stringify(file)} is no absolute path; write all of it, from / on`);
    }
    if (isClassic(file) && options.interface === ANY) {
      const advice = 'name it .pcapng, or choose one interface';
      return failure('capture-file-invalid', `a .pcap file can't tell interfaces apart ("${file}"); ${advice}`);
    }
    if (options.directions?.length === 0) {
      return failure('capture-directions-invalid', 'a capture without directions sees nothing; name rx, tx or both');
    }
    return limitMistake(options);
  }

  /** -1: any. */
  #indexOf(name: string): Result<number> {
    if (name === ANY) return success(-1);
    for (const [index, each] of this.#interfaces) if (each.name === name) return success(index);
    const names = [...this.#interfaces.values()].map((each) => each.name);
    const known = [ANY, ...names].join(', ');
    return failure('capture-interface-unknown', `there is no interface "${name}"; there are ${known}`);
  }

  #freeName(base: string): string {
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (!this.#captures.has(name)) return name;
    }
  }
}

function limitMistake(options: CaptureOptions): ReturnType<typeof failure> | undefined {
  const limits = [
    { name: 'packetsMax', value: options.packetsMax, min: 1 },
    { name: 'bytesMax', value: options.bytesMax, min: 1 },
    { name: 'bytesPerPacketMax', value: options.bytesPerPacketMax, min: BYTES_PER_PACKET_MIN },
  ];
  for (const { name, value, min } of limits) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= min)) continue;
    return failure('capture-limit-invalid', `${value} can't be ${name}; use a whole number from ${min} on`);
  }
  return undefined;
}

function commentOf({ interface: name, directions, filter }: CaptureOptions): string {
  const ways = directions === undefined ? '' : `, ${directions.join(' and ')}`;
  return `${name === ANY ? 'all interfaces' : name}${ways}${filter === undefined ? '' : `: ${filter}`}`;
}
