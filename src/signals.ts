/** Signals that ask the process to end, and signals that it must survive. */

export interface Signals {
  /** Calls `reload` for each later SIGHUP, and once for an earlier one. Calls never overlap: signals during a reload cause one more. */
  onReload(reload: () => Promise<void>): void;
  /** Calls `end` for each signal that asks the process to end. */
  onEnd(end: (signal: NodeJS.Signals) => void): void;
}

/**
 * Signals whose default action would end or stop the process, although nobody asks for that: the timers of a surrounding program send them,
 * and a terminal that stops background processes when they write.
 */
const IGNORED = ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGIO', 'SIGTTIN', 'SIGTTOU'] as const;

/**
 * Installs the handlers. From then on SIGHUP and the signals in IGNORED do not end the process; without a handler for SIGUSR1, Node would
 * open its debugger. SIGTERM, SIGINT and SIGQUIT keep their default action until onEnd().
 */
export function takeSignals(): Signals {
  let reload: (() => Promise<void>) | null = null;
  let isDue = false;
  let isRunning = false;
  const go = async () => {
    while (isDue && !isRunning && reload !== null) {
      isDue = false;
      isRunning = true;
      await reload();
      isRunning = false;
    }
  };
  process.on('SIGHUP', () => {
    isDue = true;
    void go();
  });
  for (const ignored of IGNORED) process.on(ignored, () => {});
  return {
    onReload(to) {
      reload = to;
      void go();
    },
    onEnd(end) {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, () => end(signal));
    },
  };
}
