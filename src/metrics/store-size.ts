/** The size of the store, as Prometheus text. */

const NAMES = {
  bytes: ['fluxmq_store_bytes', 'Bytes that the store of endpoints and their history takes'],
  historyRows: ['fluxmq_store_history_rows', 'Rows of the history of changes'],
} as const;

/** @param size a null value is unknown, and left out */
export function storeSizeText(size: { bytes: number | null; historyRows: number | null }): string {
  return (['bytes', 'historyRows'] as const)
    .flatMap((key) => {
      const [name, help] = NAMES[key];
      const value = size[key];
      return value === null ? [] : [`# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`];
    })
    .join('');
}
