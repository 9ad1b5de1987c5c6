/** Changes a live key on several endpoints of several workers each, and times the arrival at every worker. */

import { startBroker } from '../kit/broker.ts';
import { WIDE } from './rebind.ts';

export interface LiveLimitReport {
  endpoints: number;
  workers: number;
  updates: number;
  /** milliseconds from the request to its answer, which comes after all workers have the key and the store is written */
  p50: number;
  p99: number;
  max: number;
}

export async function changeLimits(endpoints: number, workers: number, rounds: number): Promise<LiveLimitReport> {
  const options = { ...WIDE, serverOptions: { workerGroupSize: workers } };
  const broker = await startBroker({
    endpoints: Array.from({ length: endpoints }, () => options),
    config: { store: { storeType: 'MEMORY' } },
  });
  try {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const port of broker.ports) {
        const startedAt = performance.now();
        const { status, body } = await broker.api('POST', '/api/endpoints/update', { port, maxConnectionSize: 1000 + round });
        times.push(performance.now() - startedAt);
        if (status !== 200 || !JSON.stringify(body).includes('"applied"')) throw new Error(JSON.stringify(body));
      }
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => Number((times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(1));
    return { endpoints, workers, updates: times.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  } finally {
    await broker.stop();
  }
}
