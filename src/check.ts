/** `fluxmq check`: judges a configuration without starting anything, and tries the certificates that it names. */

import { loadTls } from './control/tls/load-tls.ts';
import { ServerTls } from './control/tls/server-tls.ts';
import { FluxError, type Issue } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { loadSettings } from './settings/load-settings.ts';
import type { Settings } from './settings/settings.ts';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * @returns what to warn of. Certificates belong to the machine that the node runs on, so that their faults are warnings here: an endpoint
 *   with such a fault fails alone, the admin API keeps the node from starting.
 * @throws SettingsError with every problem of the file and the environment
 */
export async function checkConfiguration(file: string | null, env: NodeJS.ProcessEnv, cwd: string): Promise<string[]> {
  const { settings, warnings } = loadSettings({ file, env, cwd });
  return [...warnings, ...(await adminProblems(settings)), ...(await endpointProblems(settings))];
}

async function adminProblems({ http }: Settings): Promise<string[]> {
  const { ssl } = http;
  if (ssl === null) return [];
  const work = ServerTls.open({ ...ssl, logger: SILENT }).then(({ warnings }) => warnings.map((text) => `http.ssl: ${text}`));
  return tried('the node will not start', work);
}

async function endpointProblems({ endpoints }: Settings): Promise<string[]> {
  const found: string[] = [];
  for (const [index, { port, enabled, sslConfig }] of endpoints.entries()) {
    if (!enabled || !sslConfig.enabled) continue;
    const work = loadTls(sslConfig).then(({ warnings }) => warnings);
    const problems = await tried(`endpoint ${port} will not listen`, work);
    found.push(...problems.map((text) => `endpoints[${index}].${text.startsWith('sslConfig') ? '' : 'sslConfig: '}${text}`));
  }
  return found;
}

/** A line for each thing that is wrong. @param consequence of what is thrown */
async function tried(consequence: string, work: Promise<string[]>): Promise<string[]> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof FluxError)) throw error;
    return error.issues.map(({ path, message }: Issue) => `${path}: ${message}; ${consequence} until that is mended`);
  }
}
