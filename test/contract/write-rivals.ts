/**
 * A process with many writers that change the same few endpoints, each based on the revision that it read. Argument: a RivalsOrder as JSON.
 */

import { FluxError } from '../../src/kernel/errors.ts';
import { openSpec } from './databases.ts';
import type { AnsweredCommit, RivalsOrder } from './processes.ts';
import { META, put } from './store-changes.ts';

const { spec, writers, commits, endpoints, name } = JSON.parse(process.argv[2] ?? '') as RivalsOrder;
const store = await openSpec(spec);
const answered: AnsweredCommit[] = [];
let lost = 0;

async function write(writer: number): Promise<void> {
  for (let done = 0; done < commits; ) {
    const port = 1 + ((writer * 7 + done * 3 + lost) % endpoints);
    const id = `mqtt-${port}`;
    const expected = (await store.load()).endpoints.find((stored) => stored.endpoint.id === id)?.revision ?? 0;
    const reason = `${name} ${writer} ${done}`;
    try {
      const revision = await store.commit([put(port, { maxConnectionSize: writer + 1 })], { [id]: expected }, { ...META, reason });
      answered.push({ revision, id, reason, expected });
      done += 1;
    } catch (error) {
      if (!(error instanceof FluxError)) throw error;
      if (error.kind === 'revision-mismatch' || error.kind === 'exists') lost += 1;
      else if (!wasTooBusy(error)) throw error;
    }
  }
}

/** A busy machine may not get to a commit in time. A writer may repeat a commit that certainly was not made. */
function wasTooBusy({ kind, data }: FluxError): boolean {
  const { reason, outcome } = (data ?? {}) as { reason?: string; outcome?: string };
  return kind === 'unavailable' && reason === 'busy' && outcome === 'nothing-written';
}

await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
await store.close();
process.stdout.write(JSON.stringify({ answered, lost }));
