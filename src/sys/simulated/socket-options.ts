/** setsockopt(2) and getsockopt(2) of simulated sockets: what has an effect there; every other option is remembered and given back. */
import { ERRNO } from '../errno.ts';
import { IP, IPV6, SO, SOL } from '../options.ts';
import type { DatagramSocket } from './datagram.ts';
import { StreamSocket } from './stream.ts';

const TTL_MAX = 255;

/** `hasPeekOffset`: whether this kernel has SO_PEEK_OFF for TCP. */
export function setOption(
  socket: StreamSocket | DatagramSocket,
  level: number,
  name: number,
  value: number,
  hasPeekOffset: boolean,
): number {
  if (isHopLimit(level, name) && (value > TTL_MAX || value < -1 || (value === 0 && level === SOL.IP))) {
    return -ERRNO.EINVAL;
  }
  const failed = level === SOL.SOCKET ? setSocketLevel(socket, name, value, hasPeekOffset) : 0;
  if (failed === 0) socket.options.set(`${level}:${name}`, value);
  return failed;
}

export function getOption(socket: StreamSocket | DatagramSocket, level: number, name: number): number {
  if (level === SOL.SOCKET) {
    if (name === SO.ERROR) return socket.takeError();
    if (name === SO.RCVBUF) return socket.receiveBytesMax;
    if (name === SO.SNDBUF && socket instanceof StreamSocket) return socket.sendBytesMax;
    if (name === SO.PEEK_OFF && socket instanceof StreamSocket) return socket.peekOffset;
  }
  return socket.options.get(`${level}:${name}`) ?? 0;
}

function setSocketLevel(
  socket: StreamSocket | DatagramSocket,
  name: number,
  value: number,
  hasPeekOffset: boolean,
): number {
  if (name === SO.RCVBUF) socket.receiveBytesMax = value;
  if (name === SO.PEEK_OFF && !hasPeekOffset) return -ERRNO.ENOPROTOOPT;
  if (!(socket instanceof StreamSocket)) return 0;
  if (name === SO.PEEK_OFF) socket.peekOffset = value;
  if (name === SO.SNDBUF) socket.sendBytesMax = value;
  if (name === SO.LINGER) socket.lingerS = value;
  return 0;
}

function isHopLimit(level: number, name: number): boolean {
  return (level === SOL.IP && name === IP.TTL) || (level === SOL.IPV6 && name === IPV6.UNICAST_HOPS);
}
