/** What a worker's thread runs: see `fast-path.ts`. It does what it is told by messages (`worker-messages.ts`), between turns, and ends when it is ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { EventLoop } from '../engine/event-loop.ts';
import { LinuxSys } from '../sys/linux.ts';
import { FastPath } from './fast-path.ts';
import type { FromWorker, ToWorker, WorkerSetup } from './worker-messages.ts';
import { Reporter } from './worker-report.ts';

const REPORT_MS = 1000;

assert(parentPort !== null, 'a worker is started by the main thread');
const port = parentPort;
const setup = workerData as WorkerSetup;
const sys = new LinuxSys();
const path = new FastPath(sys, setup);
const reporter = new Reporter(path, () => Math.floor(sys.nowUs() / 1_000_000));
const loop = new EventLoop(sys, path, fail, setup.mode);

path.onLost = (index, errno) => tell({ type: 'lost', index, errno });
port.on('message', (message: ToWorker) => obey(message));
setInterval(report, REPORT_MS);
tell({ type: 'ready' });

function obey(message: ToWorker): void {
  switch (message.type) {
    case 'updates':
      for (const update of message.updates) path.apply(update);
      break;
    case 'attach':
      path.attach(message.tap);
      break;
    case 'detach':
      report();
      for (const index of message.indexes) path.detach(index);
      tell({ type: 'detached' });
      break;
    case 'mode':
      loop.mode = message.mode;
      break;
    case 'time-nodes':
      path.graph.runtime.enable();
      break;
    case 'clear':
      path.graph[message.what].clear();
      break;
  }
}

function report(): void {
  tell({ type: 'report', ...reporter.report() });
}

function tell(message: FromWorker): void {
  port.postMessage(message);
}

/** The main thread hears of it by the thread's end. */
function fail(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
