/** `fluxmq check`: judges a configuration without starting anything, and tries the certificates that it names. */

import { loadTls } from './control/tls/load-tls.ts';
import { ServerTls } from './control/tls/server-tls.ts';
import { FluxError, type Issue } from './kernel/errors.ts';
import { silentLogger } from './kernel/logger.ts';
import { loadSettings } from './settings/load-settings.ts';
import type { Settings } from './settings/settings.ts';

/** What is wrong with a configuration that can be read. */
export interface Verdict {
  /** the node would not start */
  problems: string[];
  warnings: string[];
}

/**
 * Certificates of endpoints are warned of: one that cannot be used keeps its endpoint alone from listening.
 * @throws SettingsError with every problem of the file and the environment
 */
export async function checkConfiguration(file: string | null, env: NodeJS.ProcessEnv, cwd: string): Promise<Verdict> {
  const { settings, warnings } = loadSettings({ file, env, cwd });
  const { problems, warnings: ofAdmin } = await adminVerdict(settings);
  return { problems, warnings: [...warnings, ...ofAdmin, ...(await endpointProblems(settings))] };
}

async function adminVerdict({ http: { ssl } }: Settings): Promise<Verdict> {
  if (ssl === null) return { problems: [], warnings: [] };
  try {
    const { warnings } = await ServerTls.open({ ...ssl, logger: silentLogger });
    return { problems: [], warnings: warnings.map((text) => `http.ssl: ${text}`) };
  } catch (error) {
    return { problems: linesOf(error, 'the node does not start without it'), warnings: [] };
  }
}

async function endpointProblems({ endpoints }: Settings): Promise<string[]> {
  const found: string[] = [];
  for (const [index, { port, enabled, sslConfig }] of endpoints.entries()) {
    if (!enabled || !sslConfig.enabled) continue;
    const lines = await loadTls(sslConfig).then(
      ({ warnings }) => warnings,
      (error: unknown) => linesOf(error, `endpoint ${port} will not listen until that is mended`),
    );
    found.push(...lines.map((text) => `endpoints[${index}].${text.startsWith('sslConfig') ? '' : 'sslConfig: '}${text}`));
  }
  return found;
}

/** A line for each thing that is wrong. @param consequence of it */
function linesOf(error: unknown, consequence: string): string[] {
  if (!(error instanceof FluxError)) throw error;
  return error.issues.map(({ path, message }: Issue) => `${path}: ${message}; ${consequence}`);
}
