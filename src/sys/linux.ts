/**
 * `Sys` on Linux: the functions of the native addon themselves, as properties, so that a call crosses into C directly.
 *
 * The addon's functions do not look at `this`, and V8 calls them at the cost of one property read and Node-API's crossing.
 */
import { loadNative } from './native.ts';
import type { Sys } from './sys.ts';

/** A watched descriptor; what `watchReadable` returned. */
export type WatchHandle = number;

/** Signals, the terminal and the event loop: what only the engine and the command line need, beyond `Sys`. */
export interface ProcessFunctions {
  /**
   * Calls `callback` from Node's event loop whenever `fd` is readable (level-triggered), until `unwatch`. Returns a handle above 0, or
   * -errno. The watch keeps the event loop alive unless `watchReference` says otherwise. Unwatch before closing the descriptor.
   */
  watchReadable(fd: number, callback: () => void): WatchHandle;
  unwatch(handle: WatchHandle): void;
  watchReference(handle: WatchHandle, keepsAlive: boolean): void;

  /**
   * Catches these signals for the whole process and returns the descriptor that their records are read from, or -errno.
   * A record is `SIGNAL_RECORD_BYTES`: three int32 of signal number, si_code, and the pid that sent it. Calls add up; the descriptor is always
   * the same, belongs to the addon and is never closed.
   */
  signalDescriptor(signals: readonly number[]): number;
  /** Puts the dispositions back that `signalDescriptor` replaced, and drops records that were not read. */
  signalRestore(): number;
  /** Sends a signal to this process. */
  raise(signal: number): number;

  /** The foreground process group of the terminal `fd` (tcgetpgrp(3)), or -errno. */
  terminalForeground(fd: number): number;
  /** Makes `group` the foreground process group of the terminal, also from the background. */
  setTerminalForeground(fd: number, group: number): number;
  /** Our own process group. */
  processGroup(): number;
}

export const SIGNAL_RECORD_BYTES = 12;

/** si_code of a signal that the kernel made, as the terminal's Ctrl-C (asm-generic/siginfo.h); kill(2) gives 0. */
export const SI_KERNEL = 0x80;

const native: Sys & ProcessFunctions = loadNative<Sys & ProcessFunctions>();

export class LinuxSys implements Sys, ProcessFunctions {
  readonly nowUs: Sys['nowUs'] = native.nowUs;
  readonly register: Sys['register'] = native.register;
  readonly unregister: Sys['unregister'] = native.unregister;
  readonly close: Sys['close'] = native.close;
  readonly read: Sys['read'] = native.read;
  readonly write: Sys['write'] = native.write;
  readonly readFrames: Sys['readFrames'] = native.readFrames;
  readonly writeFrames: Sys['writeFrames'] = native.writeFrames;

  readonly socket: Sys['socket'] = native.socket;
  readonly bind: Sys['bind'] = native.bind;
  readonly connect: Sys['connect'] = native.connect;
  readonly listen: Sys['listen'] = native.listen;
  readonly accept: Sys['accept'] = native.accept;
  readonly localAddress: Sys['localAddress'] = native.localAddress;
  readonly peerAddress: Sys['peerAddress'] = native.peerAddress;
  readonly shutdown: Sys['shutdown'] = native.shutdown;
  readonly setOption: Sys['setOption'] = native.setOption;
  readonly getOption: Sys['getOption'] = native.getOption;
  readonly tcpInfo: Sys['tcpInfo'] = native.tcpInfo;

  readonly peek: Sys['peek'] = native.peek;
  readonly discard: Sys['discard'] = native.discard;
  readonly receive: Sys['receive'] = native.receive;
  readonly peekVector: Sys['peekVector'] = native.peekVector;
  readonly sendVector: Sys['sendVector'] = native.sendVector;

  readonly pipe: Sys['pipe'] = native.pipe;
  readonly splice: Sys['splice'] = native.splice;

  readonly receiveDatagrams: Sys['receiveDatagrams'] = native.receiveDatagrams;
  readonly sendDatagrams: Sys['sendDatagrams'] = native.sendDatagrams;
  readonly receiveError: Sys['receiveError'] = native.receiveError;

  readonly pollCreate: Sys['pollCreate'] = native.pollCreate;
  readonly pollControl: Sys['pollControl'] = native.pollControl;
  readonly pollCollect: Sys['pollCollect'] = native.pollCollect;
  readonly timerCreate: Sys['timerCreate'] = native.timerCreate;
  readonly timerSet: Sys['timerSet'] = native.timerSet;

  readonly watchReadable: ProcessFunctions['watchReadable'] = native.watchReadable;
  readonly unwatch: ProcessFunctions['unwatch'] = native.unwatch;
  readonly watchReference: ProcessFunctions['watchReference'] = native.watchReference;
  readonly signalDescriptor: ProcessFunctions['signalDescriptor'] = native.signalDescriptor;
  readonly signalRestore: ProcessFunctions['signalRestore'] = native.signalRestore;
  readonly raise: ProcessFunctions['raise'] = native.raise;
  readonly terminalForeground: ProcessFunctions['terminalForeground'] = native.terminalForeground;
  readonly setTerminalForeground: ProcessFunctions['setTerminalForeground'] = native.setTerminalForeground;
  readonly processGroup: ProcessFunctions['processGroup'] = native.processGroup;
}
