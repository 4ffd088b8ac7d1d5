/** The host's network changes under a running command. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, report } from '../support/netns/lab.ts';
import { Program } from '../support/netns/process.ts';
import { Conversation, inNamespace, namespaceOf } from './conversation.ts';

const SERVER = PLACES.server[4];
const SERVER6 = PLACES.server[6];

const ROUTES = `
  ip route replace default via ${PLACES.gateway[4]} dev eth0
  ip -6 addr replace ${PLACES.host[6]}/64 dev eth0 nodad
  ip -6 route replace default via ${PLACES.gateway[6]} dev eth0
`;

inLab("the host's interface", (lab) => {
  it('goes down: new connections fail at once, and those that stand go on when it is up again', async () => {
    const talk = await Conversation.begin(lab);
    assert.equal(await talk.tell(`open old ${SERVER} 7`), 'open');
    assert.equal(await talk.tell(`open old6 ${SERVER6} 7`), 'open');
    await inNamespace(lab, 'host', 'ip link set eth0 down');
    try {
      assert.match(await talk.tell(`open new ${SERVER} 7`), /^(ENETUNREACH|EHOSTUNREACH)$/);
      assert.match(await talk.tell(`open new ${SERVER6} 7`), /^(ENETUNREACH|EHOSTUNREACH)$/);
      assert.match(await talk.tell(`briefly udp ${SERVER} 7 100`), /^(silence|ENETUNREACH)$/);
    } finally {
      await inNamespace(lab, 'host', `ip link set eth0 up; ${ROUTES}`);
    }
    await talk.tellUntil('say old 100000', 'heard');
    await talk.tellUntil('say old6 100000', 'heard');
    await talk.tellUntil(`open new ${SERVER} 7`, 'open');
    await talk.tellUntil(`udp ${SERVER6} 7 100`, 'heard');
    assert.equal((await talk.end()).status, 0);
  });

  it('gets another address: what is new comes from there, and the command keeps its own', async () => {
    const talk = await Conversation.begin(lab);
    assert.equal(await talk.tell(`where ${SERVER}`), PLACES.host[4]);
    assert.equal(await talk.tell(`keep ${SERVER} 7 100`), 'heard');
    for (const name of ['speaking', 'silent']) assert.equal(await talk.tell(`open ${name} ${SERVER} 7`), 'open');
    await inNamespace(
      lab,
      'host',
      `ip addr del ${PLACES.host[4]}/24 dev eth0; ip addr add 10.99.0.3/24 dev eth0; ${ROUTES}`,
    );
    try {
      assert.equal(await talk.tell(`where ${SERVER}`), '10.99.0.3');
      assert.equal(await talk.tell(`open new ${SERVER} 7`), 'open');
      assert.equal(await talk.tell('say new 100000'), 'heard');
      assert.equal(await talk.tell(`keep ${SERVER} 7 100`), 'heard');
      assert.equal(await talk.tell('resolve www.test'), SERVER);
      assert.equal(await talk.tell('briefly say speaking 1000'), 'nothing', 'their address is gone');
    } finally {
      await inNamespace(
        lab,
        'host',
        `ip addr del 10.99.0.3/24 dev eth0; ip addr add ${PLACES.host[4]}/24 dev eth0; ${ROUTES}`,
      );
    }
    await talk.tellUntil('say silent 100000', 'heard');
    assert.equal((await talk.end()).status, 0);
  });
});

inLab('the default route', (lab) => {
  it('moves to another interface: all goes on there', async () => {
    const { host, net } = lab.internet;
    await inNamespace(
      lab,
      'net',
      `ip link add eth7 netns ${net} type veth peer name eth7 netns ${host}; ip addr add 10.99.7.1/24 dev eth7; ip link set eth7 up`,
    );
    await inNamespace(lab, 'host', 'ip addr add 10.99.7.2/24 dev eth7; ip link set eth7 up');
    const talk = await Conversation.begin(lab);
    assert.equal(await talk.tell(`open old ${SERVER} 7`), 'open');
    assert.equal(await talk.tell('say old 100000'), 'heard');
    await inNamespace(lab, 'host', 'ip route replace default via 10.99.7.1 dev eth7');
    assert.equal(await talk.tell(`where ${SERVER}`), '10.99.7.2');
    assert.equal(await talk.tell(`open new ${SERVER} 7`), 'open');
    assert.equal(await talk.tell('say new 100000'), 'heard');
    await talk.tellUntil('say old 100000', 'heard');
    assert.equal((await talk.end()).status, 0);
  });
});

inLab('the path', (lab) => {
  it('takes only smaller packets from some moment on: connections and datagrams follow', async () => {
    const far = PLACES.far[4];
    const where = lab.internet.in(namespaceOf(lab, 'far'));
    const server = new Program([...where, ...lab.nodeProgram('client', 'serve-tcp', '-1', '7')], { timeoutMs: 0 });
    await server.says(/^listening/m);
    const talk = await Conversation.begin(lab);
    assert.equal(await talk.tell(`open a ${far} 7`), 'open');
    assert.equal(await talk.tell('say a 500000'), 'heard');
    for (const part of ['net eth1', 'mid eth0'] as const) {
      const [namespace, device] = part.split(' ') as ['net' | 'mid', string];
      await inNamespace(lab, namespace, `ip link set ${device} mtu 1280`);
    }
    await talk.tellUntil('say a 500000', 'heard');
    assert.equal(await talk.tell(`open b ${far} 7`), 'open');
    assert.equal(await talk.tell('say b 500000'), 'heard');
    assert.equal((await talk.end()).status, 0);
  });
});

inLab(
  'sockets with hardly any memory',
  (lab) => {
    it('carry everything, both ways', async () => {
      const ran = await lab.run([], lab.client('send', SERVER, '9', '500000', '{}'));
      assert.equal(report(ran)['bytes'], 500_000, ran.stderr);
      const talk = await Conversation.begin(lab);
      assert.equal(await talk.tell(`open a ${SERVER} 7`), 'open');
      assert.equal(await talk.tell('say a 200000'), 'heard');
      assert.equal((await talk.end()).status, 0);
    });
  },
  { socketBufferBytesMax: 8192 },
);
