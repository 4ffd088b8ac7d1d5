/**
 * Machines that go on in another QEMU: while they run, to another Tapster; and stopped, by a file, to the same one. By a stream socket, by datagrams, and by vhost-user, where Tapster has to tell
 * QEMU of each page of the machine that it writes.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PLACES, whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { patternHash } from '../support/netns/pattern.ts';
import { endAll, type Program } from '../support/netns/process.ts';
import { type Image, Machine, qemuWords, SHARED_MEMORY, vmImage, withoutVectors } from './machine.ts';
import { Qmp, qmpWords } from './qmp.ts';

const why = whyNoInternet();
const image = why === undefined ? vmImage() : why;
const skip = typeof image === 'string' ? image : false;
const ENDLESS = { timeoutMs: 0 } as const;
const MAC = '52:54:00:12:34:56';
const BODY_BYTES = 4_000_000;
/** More than fits into all buffers on the way. */
const HELD_BYTES = 20_000_000;
/** More than there is time for. */
const ENDLESS_BYTES = 1_000_000_000_000;
const { 4: server } = PLACES.server;
/** Bytes that have come in; and a line that ends when there are some more than `$before`. */
const COUNTER = 'cat /sys/class/net/eth0/statistics/rx_bytes';
const RECEIVED_BYTES = 50_000;
const RECEIVES = `until [ $(${COUNTER}) -gt $((before + ${RECEIVED_BYTES})) ]; do sleep 0.1; done`;

/** A `tapster guest`, and the words for QEMU that it printed. */
interface Served {
  readonly program: Program;
  readonly words: readonly string[];
}

interface Running {
  readonly vm: Machine;
  readonly qmp: Qmp;
}

/** Options of Tapster for each. */
const KINDS = { stream: [], datagrams: ['--dgram'], 'vhost-user': ['--vhost-user', '--queues', '2'] } as const;

for (const [kind, options] of Object.entries(KINDS)) {
  describe(`a virtual machine that is migrated, behind a socket: ${kind}`, { skip }, () => {
    // By datagrams each side goes to the path of the other, of the same user.
    const lab = new Lab(kind === 'datagrams' ? 'root' : 'user', {});
    let first: Served;
    let second: Served;
    let here: Running;
    before(async () => {
      await lab.up();
      first = await serve();
      second = await serve();
      here = await start(first.words);
      await here.vm.booted();
      await here.vm.run('/up');
      await here.vm.run('ip link set eth0 mtu 1500');
    });
    after(async () => {
      await endAll();
      await lab.down();
    });

    async function serve(): Promise<Served> {
      const program = lab.start(['guest', '--socket', lab.newPath('vm.sock'), '-v', '--mac', MAC, ...options], ENDLESS);
      const [, line] = await program.says(/ (-(?:netdev|chardev) .*)$/m);
      const words = line!.split(' ');
      return {
        program,
        words: kind === 'vhost-user' ? [...SHARED_MEMORY, '-smp', '2', ...withoutVectors(words)] : words,
      };
    }

    async function start(words: readonly string[], ...others: readonly string[]): Promise<Running> {
      const path = lab.newPath('qmp.sock');
      const all = [...qemuWords(image as Image), ...words, ...qmpWords(path), ...others];
      const vm = new Machine(lab.onHost(all, { ...ENDLESS, keepInput: true }));
      return { vm, qmp: await Qmp.connect(path) };
    }

    async function hasNetwork({ vm }: Running): Promise<void> {
      assert.match(
        await vm.run(`ip -o addr show dev eth0; cat /sys/class/net/eth0/address`),
        new RegExp(`${PLACES.host[4]}/24[^]*${MAC}`),
      );
      assert.match(await vm.run(`ping -c 2 ${server}`), /2 packets received/);
      const received = await vm.run(`echo ${BODY_BYTES} | nc ${server} 19 | sha256sum`);
      assert.equal(received.split(' ')[0], patternHash(BODY_BYTES));
    }

    it('goes on at another Tapster, in the middle of what it receives', async () => {
      const { vm, qmp } = here;
      await vm.run(`before=$(${COUNTER}); mkfifo /copy && (wc -c </copy >/count; touch /counted) >/dev/null &`);
      vm.begin(`(echo ${ENDLESS_BYTES} | nc ${server} 19 | tee /copy | sha256sum >/sum; touch /summed) 2>/dev/null &`);
      await vm.run(RECEIVES);
      const there = await start(second.words, '-incoming', 'defer');
      await qmp.migrateTo(there.qmp, `unix:${lab.newPath('migration.sock')}`);
      await first.program.says(/the guest has gone/);
      here = there;
      // The connection was that Tapster's: it ends. What had come by it is whole.
      await here.vm.run('until [ -e /counted ] && [ -e /summed ]; do sleep 0.1; done');
      const [count, sum] = (await here.vm.run('cat /count /sum')).trim().split(/\s+/);
      assert.ok(Number(count) > RECEIVED_BYTES, `${count} bytes`);
      assert.equal(sum, patternHash(Number(count)), `${count} bytes`);
      await hasNetwork(here);
    });

    it('is stopped, and goes on in another QEMU with the connections that it had', async () => {
      const { vm, qmp } = here;
      await vm.run(`before=$(${COUNTER})`);
      vm.begin(`echo ${HELD_BYTES} | nc ${server} 19 | (until [ -e /go ]; do sleep 0.1; done; sha256sum) >/held &`);
      await vm.run(RECEIVES);
      await qmp.execute('stop');
      const file = lab.newPath('machine');
      await qmp.execute('migrate', { uri: `exec:cat >${file}` });
      await qmp.migrated();
      await qmp.quit();
      await second.program.says(/the guest has gone/);
      here = await start(second.words, '-incoming', 'defer');
      await here.qmp.execute('migrate-incoming', { uri: `exec:cat <${file}` });
      await here.qmp.migrated();
      await here.qmp.execute('cont');
      await here.vm.run('touch /go; until grep -q . /held; do sleep 0.1; done');
      assert.equal((await here.vm.run('cat /held')).split(' ')[0], patternHash(HELD_BYTES));
      await hasNetwork(here);
      for (const { program } of [first, second]) assert.doesNotMatch(program.stderr, /broken|can't be|damaged/);
    });
  });
}
