/** A whole node over the built workers as a process of its own, whose threads can be made to end: lines `crash NAME throw|exit` on stdin. */

import { createInterface } from 'node:readline';
import { BroadcastChannel } from 'node:worker_threads';
import { openLogger } from '../../../src/control/log/log.ts';
import { openTerminal } from '../../../src/control/log/terminal-target.ts';
import { loadSettings } from '../../../src/settings/load-settings.ts';
import { startNode } from '../../../src/start-node.ts';

const { settings } = loadSettings({ file: process.argv[2] ?? null, env: {}, cwd: process.cwd() });
const log = openLogger(settings.log, openTerminal(2));
const worker = new URL('./crashable-worker.js', import.meta.url);
const node = await startNode({
  settings,
  version: '0.0.0',
  logger: log.logger,
  linesLost: () => log.linesLost,
  workerUrls: {
    endpoint: worker,
    session: worker,
    relay: worker,
    access: new URL('../../../dist/workers/access-task.js', import.meta.url),
    asking: new URL('../../../dist/workers/ask-task.js', import.meta.url),
  },
  adminStatic: new URL('../../../dist/static/', import.meta.url),
});
const channel = new BroadcastChannel('test-crash');
createInterface({ input: process.stdin }).on('line', (line) => {
  const [, name = '', how = ''] = line.split(' ');
  channel.postMessage({ peer: Number(name.split('-')[1]), how });
});
process.on('SIGTERM', async () => {
  const inOrder = await node.stop();
  await log.close();
  process.exit(inOrder ? 0 : 1);
});
process.stdout.write(`ready ${node.adminPort}\n`);
