/** Entry of the asking thread: one question to an authenticator per task, many at one time. */

import { parentPort } from 'node:worker_threads';
import type { AskNotice } from '../../src/thread/access/ask.ts';
import { Askers } from './asking/askers.ts';

const askers = new Askers((level, message, fields) => parentPort?.postMessage({ level, message, fields } satisfies AskNotice));

// piscina calls a module's default export.
export default askers.ask.bind(askers);
