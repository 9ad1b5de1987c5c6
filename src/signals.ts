/** Signals that tools send to a process that is to go on, and those that ask it to end. */

export interface Signals {
  /** Calls `reload` for each SIGHUP from now on, and for one that came before; not again before it has resolved. */
  onReload(reload: () => Promise<void>): void;
  /** Calls `end` for each signal that asks for the end. */
  onEnd(end: (signal: NodeJS.Signals) => void): void;
}

/**
 * Takes the signals. SIGHUP, SIGUSR1 and SIGUSR2 end nothing from here on; a handler for SIGUSR1 also keeps Node from opening its debugger.
 * SIGTERM, SIGINT and SIGQUIT do what they always do until onEnd().
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
  for (const ignored of ['SIGUSR1', 'SIGUSR2'] as const) process.on(ignored, () => {});
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
