/** Time, CPU and memory, as the load generator reads them. */

import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Microseconds since the process began, as 32 bits. */
export function micros(): number {
  return (performance.now() * 1000) >>> 0;
}

/** CPU seconds (user and system) of a process with its living threads, to the nanosecond if the kernel provides that. */
export function cpuSeconds(pid: number): number {
  try {
    const tasks = `/proc/${pid}/task`;
    const nanoseconds = readdirSync(tasks).map((task) => Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]));
    return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
  } catch {
    return cpuTicks(pid);
  }
}

/** The same from the kernel's clock ticks. A tick of a hundredth of a second is coarse for a broker with little work. */
function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(match?.[1] ?? 0) * 1024;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
