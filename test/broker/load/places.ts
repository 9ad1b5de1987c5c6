/** Where the tests under load connect: three workers each on a TCP and a WebSocket endpoint, with limits out of the way. */

/** An endpoint without limits that a test could meet. */
export const WIDE = {
  enableAuth: false,
  maxConnectionSize: 100_000,
  maxConnectionPerSecond: 1_000_000,
  maxSessionSize: 100_000,
  maxQueuedMessages: 1_000_000,
  serverOptions: { workerGroupSize: 3 },
};

export const WIDE_ENDPOINTS = [WIDE, { ...WIDE, useWebsocket: true }];

/** Transport and index of each endpoint. */
export const PLACES = [
  ['tcp', 0],
  ['ws', 1],
] as const;

/** Seconds that a test keeps up its load; longer for a machine that has time: `LOAD_SECONDS=60`. */
export function loadSeconds(otherwise: number): number {
  return Number(process.env['LOAD_SECONDS'] ?? otherwise);
}
