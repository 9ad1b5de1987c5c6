/** Reads whether the kernel moves the accept queue of a closing listener to another listener of the port (Linux 5.14 or newer). */

import { readFile } from 'node:fs/promises';
import type { Logger } from '../../kernel/logger.ts';

const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req';

/** True, false, or null where the system has no such setting. */
export async function migratesQueue(path = SETTING): Promise<boolean | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  return text === null ? null : text.trim() === '1';
}

/** Logs a recommendation when the setting is off. */
export async function recommendQueueMigration(logger: Logger, path = SETTING): Promise<void> {
  if ((await migratesQueue(path)) !== false) return;
  logger.info(
    'net.ipv4.tcp_migrate_req is 0: connections in the accept queue are reset if a thread cannot take over a socket of its port; `sysctl -w net.ipv4.tcp_migrate_req=1` prevents that',
  );
}
