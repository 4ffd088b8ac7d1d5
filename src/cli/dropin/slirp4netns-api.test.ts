import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress } from '../../base/address.ts';
import { SLIRP_REQUEST_BYTES_MAX } from '../../base/limits.ts';
import { readSlirpRequest, type SlirpReading, SlirpRequestReader, writeSlirpReply } from './slirp4netns-api.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (reply: Parameters<typeof writeSlirpReply>[0]): string => new TextDecoder().decode(writeSlirpReply(reply));
const add = (fields: string): string => `{"execute": "add_hostfwd", "arguments": {${fields}}}`;

/** One line: the request, or the answer. */
function show(reading: SlirpReading): string {
  if (!reading.ok) return text(reading.reply);
  const { request } = reading;
  if (request.execute === 'list_hostfwd') return 'list';
  if (request.execute === 'remove_hostfwd') return `remove ${request.id}`;
  const { protocol, hostAddress, hostPort, guestAddress, guestPort } = request.forward;
  return `add ${protocol} ${hostAddress}:${hostPort} > ${guestAddress ?? ''}:${guestPort}`;
}

describe('readSlirpRequest', () => {
  it('takes the three commands', () => {
    const samples: [string, string][] = [
      [
        add('"proto": "tcp", "host_addr": "0.0.0.0", "host_port": 8080, "guest_addr": "10.0.2.100", "guest_port": 80'),
        'add tcp 0.0.0.0:8080 > 10.0.2.100:80',
      ],
      [add('"proto":"udp","host_port":1,"guest_port":65535'), 'add udp 0.0.0.0:1 > :65535'],
      [add('"proto":"tcp","host_addr":"","host_port":1,"guest_addr":"","guest_port":2'), 'add tcp 0.0.0.0:1 > :2'],
      [add('"proto":"tcp","host_addr":"127.0.0.1","host_port":65535,"guest_port":1'), 'add tcp 127.0.0.1:65535 > :1'],
      ['{"execute": "list_hostfwd"}', 'list'],
      ['{"execute": "list_hostfwd", "arguments": 5}\n\n', 'list'],
      ['{"execute": "remove_hostfwd", "arguments": {"id": 42}}', 'remove 42'],
    ];
    for (const [request, meaning] of samples) assert.equal(show(readSlirpRequest(bytes(request))), meaning);
  });

  it('answers all others with what is wrong', () => {
    const samples: [string, RegExp][] = [
      ['', /not JSON/],
      ['x', /not JSON/],
      ['{"execute": "list_hostfwd"} x', /not JSON/],
      ['{"execute":"list_hostfwd"}{"execute":"list_hostfwd"}', /not JSON/],
      ['[]', /not a JSON object/],
      ['null', /not a JSON object/],
      ['{}', /execute is missing/],
      ['{"execute": 1}', /execute is 1, not one of/],
      ['{"execute": "quit"}', /execute is .{0,2}"quit.{0,2}", not one of/],
      ['{"execute": "add_hostfwd"}', /arguments\.proto is missing, not tcp or udp/],
      [add(''), /arguments\.proto is missing/],
      [add('"proto":"sctp","host_port":1,"guest_port":2'), /proto is .{0,2}"sctp/],
      [add('"proto":"TCP","host_port":1,"guest_port":2'), /proto is/],
      [add('"proto":"tcp","guest_port":2'), /host_port is missing/],
      [add('"proto":"tcp","host_port":1'), /guest_port is missing/],
      [add('"proto":"tcp","host_port":0,"guest_port":2'), /host_port is 0/],
      [add('"proto":"tcp","host_port":65536,"guest_port":2'), /host_port is 65536/],
      [add('"proto":"tcp","host_port":"1","guest_port":2'), /host_port is/],
      [add('"proto":"tcp","host_port":1.5,"guest_port":2'), /host_port is 1\.5/],
      [add('"proto":"tcp","host_port":1,"guest_port":-2'), /guest_port is -2/],
      [add('"proto":"tcp","host_port":1,"guest_port":2,"host_addr":"::"'), /host_addr is/],
      [add('"proto":"tcp","host_port":1,"guest_port":2,"host_addr":"x"'), /host_addr is/],
      [add('"proto":"tcp","host_port":1,"guest_port":2,"guest_addr":7'), /guest_addr is 7/],
      [add('"proto":"tcp","host_port":1,"guest_port":2,"guest_addr":"::ffff:1.2.3.4"'), /guest_addr is/],
      ['{"execute":"remove_hostfwd"}', /arguments\.id is missing/],
      ['{"execute":"remove_hostfwd","arguments":{"id":"1"}}', /arguments\.id is/],
      ['{"execute":"remove_hostfwd","arguments":{"id":0}}', /arguments\.id is 0/],
      [`{"execute":"${'x'.repeat(3000)}"}`, /x…, not one of/],
    ];
    for (const [request, reason] of samples) {
      const answer = show(readSlirpRequest(bytes(request)));
      assert.match(answer, reason);
      assert.ok(answer.startsWith('{"error":{"desc":"bad request: '), answer);
    }
    assert.match(show(readSlirpRequest(Uint8Array.of(0xff, 0xfe))), /not JSON/);
  });

  it('reads noise without throwing', () => {
    fc.assert(fc.property(fc.uint8Array(), (noise) => void readSlirpRequest(noise)));
    fc.assert(fc.property(fc.json(), (json) => void show(readSlirpRequest(bytes(json)))));
  });
});

describe('SlirpRequestReader', () => {
  it('joins what comes in pieces', () => {
    const request = bytes(add('"proto":"tcp","host_port":8080,"guest_port":80'));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: request.length }), (piece) => {
        const reader = new SlirpRequestReader();
        for (let i = 0; i < request.length; i += piece) assert.ok(reader.push(request.subarray(i, i + piece)));
        assert.equal(show(reader.end()), 'add tcp 0.0.0.0:8080 > :80');
      }),
    );
  });

  it('is bounded', () => {
    const request = '{"execute":"list_hostfwd"}';
    const reader = new SlirpRequestReader();
    assert.ok(reader.push(bytes(request.padEnd(SLIRP_REQUEST_BYTES_MAX))));
    assert.equal(show(reader.end()), 'list');
    assert.ok(!reader.push(bytes(' ')));
    assert.ok(!reader.push(bytes('')));
    assert.match(show(reader.end()), /4095 bytes at most/);
  });
});

describe('writeSlirpReply', () => {
  it('writes what clients look for', () => {
    const host = parseIpAddress('0.0.0.0');
    const guest = parseIpAddress('10.0.2.100');
    assert.ok(host !== undefined && guest !== undefined);
    const entry = {
      id: 42,
      protocol: 'tcp',
      hostAddress: host,
      hostPort: 8080,
      guestAddress: guest,
      guestPort: 80,
    } as const;
    const json =
      '{"id":42,"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}';
    assert.equal(text({ kind: 'added', id: 42 }), '{"return":{"id":42}}');
    assert.equal(text({ kind: 'removed' }), '{"return":{}}');
    assert.equal(text({ kind: 'list', entries: [entry] }), `{"return":{"entries":[${json}]},"entries":[${json}]}`);
    assert.equal(text({ kind: 'error', description: 'a "b"' }), '{"error":{"desc":"a \\"b\\""}}');
  });
});
