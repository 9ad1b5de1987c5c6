/** Everything at once for a long time. Afterwards memory must be flat, every gauge zero, and no file descriptor left. */

import { startBroker } from '../../kit/broker.ts';
import { HeapUse } from '../../kit/heap-use.ts';
import { sleep, until } from '../../kit/until.ts';
import { WIDE } from '../rebind.ts';
import { Storm } from '../storm.ts';
import { Traffic } from '../traffic.ts';
import { type ActivityReport, type Field, type Round, repeat } from './activity.ts';
import { die, misbehave, readSlowly, retain, roam, subscribe } from './clients.ts';
import { descriptors, leftOver, moreThan, residentMb } from './gauges.ts';
import { CHANGES, change, look } from './operator.ts';

const ROUNDS: Readonly<Record<string, Round>> = { roam, retain, die, subscribe, readSlowly, misbehave, change, look };
const SAMPLE_MS = 5000;
/** Sessions of the soak expire within 60 s. */
const CALM_MS = 90_000;
/** Longer than either side keeps an idle HTTP connection open. */
const KEEP_ALIVE_MS = 30_000;
/** Largest growth of the median from the middle third to the last third that counts as flat. */
const GROWTH_MAX = 0.1;
const GROWTH_MAX_MB = 20;
/** Largest growth of what is left after collections, over the last third. It may rise while caches of topics fill up. */
const HELD_GROWTH_MAX_MB = 15;
const STORM_PER_SECOND = 50;
const MESSAGES_PER_SECOND = 1000;

export interface SoakReport {
  minutes: number;
  /** established clients: messages that all arrived in order, and clients that lost their connection */
  messages: number;
  dropped: number;
  storm: { attempts: number; failures: Record<string, number> };
  activities: Record<string, ActivityReport>;
  memory: { startMb: number; middleThirdMb: number; lastThirdMb: number; maxMb: number; calmMb: number; samplesMb: number[] };
  /** MB that the threads hold after a forced collection: after one third, after two thirds, at the end, and once all clients have gone */
  heldMb: number[];
  /** open file descriptors that were not open before, by kind */
  descriptors: string[];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** @throws Error when a message was lost, memory grew, or a gauge or descriptor was left */
export async function soak(minutes: number): Promise<SoakReport> {
  const durable = { ...WIDE, sessionPersistence: true };
  const heap = new HeapUse();
  const broker = await startBroker(
    heap.measured({
      endpoints: [
        { ...durable, id: 'tcp', serverOptions: { workerGroupSize: 2 } },
        { ...durable, id: 'ws', useWebsocket: true },
        { ...WIDE, id: 'changing' },
      ],
    }),
  );
  try {
    const [tcp, ws, changing] = broker.ports as [number, number, number];
    const field: Field = { broker, tcp, ws, changing };
    // Starts each thread and pool that the changes need, before the first reading.
    for (let round = 0; round < CHANGES.length; round++) await change(field, round);
    const before = await descriptors(broker.pid);
    const startMb = await residentMb(broker.pid);
    const end = performance.now() + minutes * 60_000;
    const isOver = () => performance.now() >= end;
    const traffic = await Traffic.start({ transport: 'tcp', from: tcp, to: tcp, pairs: 4, perSecond: MESSAGES_PER_SECOND });
    const storm = new Storm(STORM_PER_SECOND, [{ transport: 'tcp', isSecure: false, port: tcp }]);
    const running = Object.entries(ROUNDS).map(async ([name, round]) => [name, await repeat(field, round, isOver)] as const);
    const samplesMb: number[] = [];
    const heldMb: number[] = [];
    const thirdMs = (minutes * 60_000) / 3;
    while (!isOver()) {
      await sleep(SAMPLE_MS);
      samplesMb.push(await residentMb(broker.pid));
      if (heldMb.length < 2 && performance.now() >= end - (2 - heldMb.length) * thirdMs) heldMb.push(await heap.readMb());
      traffic.latency();
    }
    heldMb.push(await heap.readMb());
    const activities = Object.fromEntries(await Promise.all(running));
    for (let round = activities['change']?.rounds ?? 0; round % CHANGES.length !== 0; round++) await change(field, round);
    const { attempts, failures } = await storm.stop();
    const { dropped } = traffic;
    const messages = await traffic.stop();
    await until(
      'every gauge back at zero',
      async () => {
        const left = await leftOver(broker);
        if (left.length > 0) throw new Error(left.join('; '));
        return true;
      },
      CALM_MS,
      1000,
    );
    heldMb.push(await heap.readMb());
    const third = Math.floor(samplesMb.length / 3);
    const report: SoakReport = {
      minutes,
      messages,
      dropped,
      storm: { attempts, failures },
      activities,
      memory: {
        startMb,
        middleThirdMb: median(samplesMb.slice(third, 2 * third)),
        lastThirdMb: median(samplesMb.slice(2 * third)),
        maxMb: Math.max(...samplesMb),
        calmMb: await residentMb(broker.pid),
        samplesMb,
      },
      heldMb,
      descriptors: await leftDescriptors(broker.pid, before),
    };
    judge(report);
    return report;
  } finally {
    await broker.stop();
    heap.close();
  }
}

/** Kinds of descriptors that are left after idle connections of the soak's own requests have closed. */
async function leftDescriptors(pid: number, before: ReadonlyMap<string, number>): Promise<string[]> {
  const end = performance.now() + KEEP_ALIVE_MS;
  let left = moreThan(before, await descriptors(pid));
  while (left.length > 0 && performance.now() < end) {
    await sleep(1000);
    left = moreThan(before, await descriptors(pid));
  }
  return left;
}

/** @throws Error that names each broken promise of the soak, with the whole report */
function judge(report: SoakReport): void {
  const faults: string[] = [];
  const { middleThirdMb, lastThirdMb } = report.memory;
  if (lastThirdMb > middleThirdMb * (1 + GROWTH_MAX) + GROWTH_MAX_MB) faults.push(`memory grew from ${middleThirdMb} to ${lastThirdMb} MB`);
  const [, atTwoThirds = 0, atEnd = 0] = report.heldMb;
  if (report.heldMb.includes(0)) faults.push('no thread said what it holds');
  if (atEnd > atTwoThirds + HELD_GROWTH_MAX_MB) faults.push(`the threads held ${atTwoThirds} MB, and ${atEnd} MB at the end`);
  if (report.descriptors.length > 0) faults.push(`file descriptors were left: ${report.descriptors.join(', ')}`);
  if (report.dropped > 0) faults.push(`${report.dropped} established clients lost their connection`);
  if (Object.keys(report.storm.failures).length > 0) faults.push('connections failed');
  for (const [name, { failed }] of Object.entries(report.activities)) if (failed > 0) faults.push(`${name} failed ${failed} times`);
  if (faults.length > 0) throw new Error(`${faults.join('; ')}\n${JSON.stringify(report, null, 2)}`);
}
