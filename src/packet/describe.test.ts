import assert from 'node:assert/strict';
import { it, describe as suite } from 'node:test';
import fc from 'fast-check';
import * as captured from '../wire/captured.test.ts';
import * as vnet from '../wire/vnet-header.ts';
import { describe, describeFrame } from './describe.ts';
import { Packets } from './packets.ts';

suite('describe', () => {
  it('puts each captured frame in one line', () => {
    const lines: readonly (readonly [DataView, string])[] = [
      [captured.ARP_REQUEST, 'ARP who-has 10.0.2.2 tell 10.0.2.15'],
      [captured.ARP_REPLY, 'ARP reply 10.0.2.2 is-at 02:00:00:00:00:0b'],
      [captured.ECHO_REQUEST, 'IP 10.0.2.15 > 10.0.2.2: ICMP echo request id 13456 seq 1 len 16'],
      [captured.UDP_IPV4, 'IP 10.0.2.15.59927 > 10.0.2.2.4242: UDP len 5'],
      [captured.PORT_UNREACHABLE, 'IP 10.0.2.2 > 10.0.2.15: ICMP unreachable code 3'],
      [
        captured.SYN_IPV4,
        'IP 10.0.2.15.36694 > 10.0.2.2.80: TCP SYN seq 2822145916 win 64240 len 0 mss 1460 wscale 10',
      ],
      [captured.RST_IPV4, 'IP 10.0.2.2.80 > 10.0.2.15.36694: TCP RST seq 0 ack 2822145917 win 0 len 0'],
      [captured.FRAGMENT_IPV4, 'IP 10.0.2.15 > 10.0.2.2: fragment id 24328 offset 1480 protocol 17 len 28'],
      [captured.ROUTER_SOLICITATION, 'IP6 fe80::ff:fe00:a > ff02::2: ICMP6 router solicitation'],
      [captured.LISTENER_REPORT, 'IP6 fe80::ff:fe00:b > ff02::16: ICMP6 type 143 code 0 len 40'],
      [
        captured.NEIGHBOR_SOLICITATION,
        'IP6 2001:db8::15 > ff02::1:ff00:2: ICMP6 neighbor solicitation who-has 2001:db8::2',
      ],
      [captured.NEIGHBOR_ADVERTISEMENT, 'IP6 2001:db8::2 > 2001:db8::15: ICMP6 neighbor advertisement of 2001:db8::2'],
      [captured.ECHO_REQUEST_IPV6, 'IP6 2001:db8::15 > 2001:db8::2: ICMP6 echo request id 13457 seq 1 len 16'],
      [captured.UDP_IPV6, 'IP6 2001:db8::15.33943 > 2001:db8::2.4242: UDP len 5'],
      [captured.PORT_UNREACHABLE_IPV6, 'IP6 2001:db8::2 > 2001:db8::15: ICMP6 unreachable code 4'],
      [captured.FRAGMENT_IPV6, 'IP6 2001:db8::15 > 2001:db8::2: fragment id 1515316565 offset 1448 protocol 17 len 60'],
    ];
    for (const [view, line] of lines) assert.equal(describeFrame(view, 0, view.byteLength), line);
  });

  it('says what is left to the receiver to cut', () => {
    const packets = new Packets(4096, 8);
    const packet = packets.allocate(captured.UDP_IPV4.byteLength);
    const at = packets.start[packet];
    packets.bytes.set(new Uint8Array(captured.UDP_IPV4.buffer), at);
    assert.equal(describe(packets, packet), 'IP 10.0.2.15.59927 > 10.0.2.2.4242: UDP len 5');
    vnet.setChecksum(packets.view, at - vnet.HEADER_BYTES, 34, 6);
    vnet.setGso(packets.view, at - vnet.HEADER_BYTES, vnet.GSO_UDP_L4, 2, 42);
    assert.equal(describe(packets, packet), 'IP 10.0.2.15.59927 > 10.0.2.2.4242: UDP len 5 gso 2');
    assert.equal(describe(packets, 9), 'no packet 9');
  });

  it('says what cannot be read', () => {
    const cut = (view: DataView, end: number): string => describeFrame(view, 0, end);
    assert.equal(cut(captured.SYN_IPV4, 13), 'frame cut short, len 13');
    assert.equal(cut(captured.SYN_IPV4, 40), 'IP malformed, len 26');
    assert.equal(cut(captured.SYN_IPV6, 60), 'IP6 malformed, len 46');
    assert.equal(cut(captured.ARP_REPLY, 30), 'ARP malformed, len 16');
    const other = captured.frame('ffffffffffff 020000000001 88cc 0000');
    assert.equal(cut(other, 16), 'ethernet 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: type 0x88cc len 2');
  });

  it('never throws on garbage, nor on a captured frame with some bytes changed', () => {
    const frames = Object.values(captured).filter((value) => value instanceof DataView);
    const change = fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.array(change, { maxLength: 6 }),
        fc.nat({ max: 130 }),
        (view, changes, end) => {
          const copy = captured.cut(view, 0);
          for (const [at, value] of changes) if (at < copy.byteLength) copy.setUint8(at, value);
          assert.match(describeFrame(copy, 0, end), /^[ -~]+$/);
        },
      ),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.integer(), fc.integer(), (bytes, start, end) => {
        const view = captured.viewOf(bytes);
        assert.match(describeFrame(view, 0, bytes.length), /^[ -~]+$/);
        assert.match(describeFrame(view, start, end), /^[ -~]+$/);
      }),
    );
  });
});
