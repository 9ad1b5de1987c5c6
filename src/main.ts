/** The first lines of the process: signals that must not end it are taken before anything else is loaded. */

import { takeSignals } from './signals.ts';

const signals = takeSignals();
const { run } = await import('./program.ts');
await run(new URL('.', import.meta.url), signals);
