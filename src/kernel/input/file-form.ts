/** The outer form of files with endpoints (exports, backups, answers of `list`), as far as a reader in pieces needs it. */

/** Names of the list of endpoints: ours, that of the answer of `list`, and FluxMQ's. */
export const CONFIG_KEYS: readonly string[] = ['configs', 'endpoints', 'mqtt'];

/** Endpoints of one file, and of one node. Each is a listening port with threads of its own or a share in some. */
export const ENDPOINTS_MAX = 2_000;

/** Users of one file. */
export const USERS_IN_FILE_MAX = 100_000;

/**
 * The parts that are read in pieces: the document, the API answer that may wrap it, and its lists. Endpoints may be an object, as in the answer
 * of `list`. Users may not: an object would be read as a list, and an empty one would remove every user in an import that replaces.
 */
export function isFileContainer(path: readonly (string | number)[], isList: boolean): boolean {
  const inner = path[0] === 'data' ? path.slice(1) : path;
  if (inner.length === 0) return true;
  if (inner.length > 1) return false;
  return CONFIG_KEYS.includes(String(inner[0])) || inner[0] === 'history' || (isList && inner[0] === 'users');
}
