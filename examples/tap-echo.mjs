/**
 * A host that exists in this program only: answers ARP and ping for 10.78.0.2.
 *
 *     $ sudo node examples/tap-echo.mjs &
 *     10.78.0.2 answers on tap0
 *     $ ping -c 3 10.78.0.2
 *
 * To be in a network namespace instead: sudo node examples/tap-echo.mjs NAMESPACE. Ctrl-C ends it.
 */
import { arp, ethernet, icmp, ipv4, openTap } from 'tapster';

const address = 0x0a4e0002; // 10.78.0.2
const mac = { high: 0x0200, low: 2 }; // 02:00:00:00:00:02

const tap = await openTap({ namespace: process.argv[2], addresses: ['10.78.0.1/24'] });
console.log(`10.78.0.2 answers on ${tap.name}`);

for await (const batch of tap) {
  const replies = [];
  for (let i = 0; i < batch.count; i++) {
    const start = batch.offset(i);
    if (becomesReply(batch.view, start, start + batch.length(i))) replies.push(batch.frame(i));
  }
  tap.send(replies);
}

/** Makes a question into its answer, in place. */
function becomesReply(view, start, end) {
  const packet = start + ethernet.HEADER_BYTES;
  const type = ethernet.type(view, start);
  const answered =
    (type === ethernet.TYPE_ARP && answerArp(view, packet, end)) ||
    (type === ethernet.TYPE_IPV4 && answerPing(view, packet, end));
  if (!answered) return false;
  ethernet.setDestination(view, start, ethernet.sourceHigh(view, start), ethernet.sourceLow(view, start));
  ethernet.setSource(view, start, mac.high, mac.low);
  return true;
}

function answerArp(view, at, end) {
  if (arp.check(view, at, end) < 0 || arp.operation(view, at) !== arp.OPERATION_REQUEST) return false;
  if (arp.targetAddress(view, at) !== address) return false;
  arp.setOperation(view, at, arp.OPERATION_REPLY);
  arp.setTarget(view, at, arp.senderHigh(view, at), arp.senderLow(view, at), arp.senderAddress(view, at));
  arp.setSender(view, at, mac.high, mac.low, address);
  return true;
}

function answerPing(view, at, end) {
  if (ipv4.check(view, at, end) < 0 || ipv4.protocol(view, at) !== icmp.PROTOCOL) return false;
  if (ipv4.isFragment(view, at) || ipv4.destination(view, at) !== address) return false;
  const [message, messageEnd] = [at + ipv4.headerBytes(view, at), at + ipv4.totalLength(view, at)];
  if (icmp.check(view, message, messageEnd) < 0 || icmp.type(view, message) !== icmp.ECHO_REQUEST) return false;
  icmp.setType(view, message, icmp.ECHO_REPLY);
  icmp.writeChecksum(view, message, messageEnd);
  ipv4.setDestinationAndChecksum(view, at, ipv4.source(view, at));
  ipv4.setSourceAndChecksum(view, at, address);
  return true;
}
