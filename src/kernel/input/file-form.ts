/** The outer form of files with endpoints (exports, backups, answers of `list`), as far as reading them piece by piece needs it. */

/** Names of the list of endpoints: ours, that of the list's answer, FluxMQ's. */
export const CONFIG_KEYS: readonly string[] = ['configs', 'endpoints', 'mqtt'];

/** Endpoints of one file, and of one node: each is a listening port with threads or a share in some. */
export const ENDPOINTS_MAX = 2_000;

/** What is taken apart: the document, the answer of the API that it may stand in, and its lists. */
export function isFileContainer(path: readonly (string | number)[]): boolean {
  const inner = path[0] === 'data' ? path.slice(1) : path;
  if (inner.length === 0) return true;
  return inner.length === 1 && (CONFIG_KEYS.includes(String(inner[0])) || inner[0] === 'history');
}
