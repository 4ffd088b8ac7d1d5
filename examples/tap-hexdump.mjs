/**
 * Shows every frame that the kernel sends into a tap: one line that says what it is, and its bytes.
 *
 *     $ sudo node examples/tap-hexdump.mjs &
 *     tap0 is up, with 10.78.0.1/24
 *     $ ping -c 1 10.78.0.9
 *     ARP who-has 10.78.0.9 tell 10.78.0.1
 *       0000  ff ff ff ff ff ff 6a cb 7f 11 07 7f 08 06 00 01
 *       0010  08 00 06 04 00 01 6a cb 7f 11 07 7f 0a 4e 00 01
 *       0020  00 00 00 00 00 00 0a 4e 00 09
 *
 * To be in a network namespace instead: sudo node examples/tap-hexdump.mjs NAMESPACE. Ctrl-C ends it.
 */
import { describeFrame, openTap } from 'tapster';

const ROW_BYTES = 16;

const tap = await openTap({ namespace: process.argv[2], addresses: ['10.78.0.1/24'] });
console.log(`${tap.name} is up, with 10.78.0.1/24`);

for await (const batch of tap) {
  for (let i = 0; i < batch.count; i++) {
    const start = batch.offset(i);
    console.log(describeFrame(batch.view, start, start + batch.length(i)));
    for (const row of rows(batch.frame(i))) console.log(`  ${row}`);
  }
}

function* rows(frame) {
  for (let at = 0; at < frame.length; at += ROW_BYTES) {
    const bytes = Array.from(frame.subarray(at, at + ROW_BYTES), (byte) => byte.toString(16).padStart(2, '0'));
    yield `${at.toString(16).padStart(4, '0')}  ${bytes.join(' ')}`;
  }
}
