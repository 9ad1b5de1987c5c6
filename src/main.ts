/** The entry point of the broker: handles signals before it loads anything else, because an early signal must not end the process. */

import { takeSignals } from './signals.ts';

const signals = takeSignals();
const { run } = await import('./program.ts');
await run(new URL('.', import.meta.url), signals);
