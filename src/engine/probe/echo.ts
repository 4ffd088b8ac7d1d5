/** One ICMP or ICMPv6 echo by a ping socket (icmp(7)): `ping -c 1` for where there is no ping. */
import { type IpAddress, isIpv4 } from '../../base/address.ts';
import { failure, type Result, success } from '../../base/result.ts';
import { ERRNO, errnoName } from '../../sys/errno.ts';
import { DATAGRAM_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../../sys/sys.ts';

const ICMP_ECHO = 8;
const ICMPV6_ECHO = 128;
/** Type, code, checksum, identifier (these two are the kernel's business), sequence number; RFC 792, RFC 4443. */
const HEADER_BYTES = 8;
const SEQUENCE_AT = 6;
const REQUEST_BYTES = HEADER_BYTES + 48;
const MEMORY_BYTES = 2048;
const POLL_MS = 1;

/** Record words; see `DATAGRAM_WORDS`. */
const RECORD = { LENGTH: 1, HOP_LIMIT: 3, TRAFFIC_CLASS: 4, ADDRESS: 6 } as const;

/** The round-trip time in microseconds. */
export async function echoOnce(sys: Sys, address: IpAddress, timeoutMs: number): Promise<Result<number>> {
  const ipv4 = isIpv4(address);
  const fd = sys.socket(
    ipv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6,
    SOCKET_TYPE.DGRAM,
    ipv4 ? SOCKET_PROTOCOL.ICMP : SOCKET_PROTOCOL.ICMPV6,
  );
  if (fd < 0) return failure('ping-denied', `no ping socket: ${errnoName(fd)}`);
  const memory = new Uint8Array(MEMORY_BYTES);
  const records = new Int32Array(DATAGRAM_WORDS);
  const ids = [sys.register(memory), sys.register(records)] as const;
  try {
    memory[0] = ipv4 ? ICMP_ECHO : ICMPV6_ECHO;
    memory[SEQUENCE_AT + 1] = 1;
    fillRecord(records, address);
    const startedUs = sys.nowUs();
    const sent = sys.sendDatagrams(fd, ids[0], ids[1], 0, 1);
    if (sent < 0) return failure('ping-failed', errnoName(sent));
    while (sys.nowUs() - startedUs < timeoutMs * 1000) {
      const got = sys.receiveDatagrams(fd, ids[0], 0, MEMORY_BYTES, 0, MEMORY_BYTES, ids[1], 0, 1);
      if (got > 0) return success(sys.nowUs() - startedUs);
      if (got < 0 && got !== -ERRNO.EAGAIN) return failure('ping-failed', errnoName(got));
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return failure('ping-timeout', `no answer within ${timeoutMs} ms`);
  } finally {
    for (const id of ids) sys.unregister(id);
    sys.close(fd);
  }
}

function fillRecord(records: Int32Array, address: IpAddress): void {
  records.fill(0);
  records[RECORD.LENGTH] = REQUEST_BYTES;
  records[RECORD.HOP_LIMIT] = -1;
  records[RECORD.TRAFFIC_CLASS] = -1;
  records.set([address.w0, address.w1, address.w2, address.w3], RECORD.ADDRESS);
}
