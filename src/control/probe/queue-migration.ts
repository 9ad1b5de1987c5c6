/** Whether the kernel hands connections that wait at a closing listener to another one on the same port (Linux 5.14 or newer). */

import { readFile } from 'node:fs/promises';
import type { Logger } from '../../kernel/logger.ts';

const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req';

/** True, false, or null where the system does not tell. */
export async function migratesQueue(path = SETTING): Promise<boolean | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  return text === null ? null : text.trim() === '1';
}

/** Recommends the setting in the log where it is off. */
export async function recommendQueueMigration(logger: Logger, path = SETTING): Promise<void> {
  if ((await migratesQueue(path)) !== false) return;
  logger.info(
    'net.ipv4.tcp_migrate_req is 0: should a thread not take over the socket of another one on its port, connections that wait there are reset; `sysctl -w net.ipv4.tcp_migrate_req=1` rules it out',
  );
}
