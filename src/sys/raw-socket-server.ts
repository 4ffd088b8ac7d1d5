/**
 * `Sys` for an engine that gives its capabilities away: where the host has no ping sockets for us, but we may open raw ones now, a small process of ours
 * goes on opening them (native/raw-socket.c).
 */
import { closeSync } from 'node:fs';
import type { LinuxSys } from './linux.ts';
import { loadNative } from './native.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from './sys.ts';

interface RawSocketCalls {
  rawSocketServer(): number;
  rawSocket(server: number, family: number): number;
}

export interface RawSocketSys {
  readonly sys: Sys;
  /** Ends the process. */
  close(): void;
}

/** Undefined where echo needs no such process, or it can't help. */
export function startRawSocketServer(sys: LinuxSys): RawSocketSys | undefined {
  if (opens(sys, SOCKET_TYPE.DGRAM) || !opens(sys, SOCKET_TYPE.RAW)) return undefined;
  const calls = loadNative<RawSocketCalls>();
  const server = calls.rawSocketServer();
  if (server < 0) return undefined;
  const socket: Sys['socket'] = (family, type, protocol) =>
    type === SOCKET_TYPE.RAW ? calls.rawSocket(server, family) : sys.socket(family, type, protocol);
  return { sys: { ...sys, socket }, close: () => closeSync(server) };
}

function opens(sys: LinuxSys, type: number): boolean {
  const fd = sys.socket(SOCKET_FAMILY.INET, type, SOCKET_PROTOCOL.ICMP);
  if (fd >= 0) sys.close(fd);
  return fd >= 0;
}
