/**
 * Who may speak to us on a TCP port: whoever has the token, and no web page. A page that a browser shows can send requests to any loopback port, and by a name
 * whose address it changes (DNS rebinding) read the answers: its requests then carry that name as `Host`.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback, parseIpAddress } from '../base/address.ts';
import { ApiError } from './api-error.ts';

/** 16 random bytes as hexadecimal digits have 32. */
export const TOKEN_CHARACTERS_MIN = 16;

/** Throws what to answer to a request that must not go on. */
export type Guard = (request: IncomingMessage) => void;

export function bearerGuard(token: string): Guard {
  const wanted = digest(token);
  return ({ headers }) => {
    if (!isOwnName(headers.host ?? '')) {
      throw new ApiError(403, 'host-refused', 'the API is spoken to by a loopback address or as localhost');
    }
    const given = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
    // Digests have one length, and comparing them takes the same time wherever they differ.
    if (!timingSafeEqual(digest(given), wanted)) {
      throw new ApiError(401, 'token-wrong', 'the API on this port wants its token: Authorization: Bearer TOKEN');
    }
  };
}

/** Any port: it may be forwarded from another one. */
export function isOwnName(host: string): boolean {
  const name = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host);
  const text = name?.[1] ?? name?.[2] ?? '';
  if (text.toLowerCase() === 'localhost') return true;
  const address = parseIpAddress(text);
  return address !== undefined && isLoopback(address);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
