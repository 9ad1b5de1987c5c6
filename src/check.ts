/** `fluxmq check`: judges a configuration without starting anything, tries the certificates that it names, and looks at the files of its data folder. */

import { loadTls } from './control/tls/load-tls.ts';
import { ServerTls } from './control/tls/server-tls.ts';
import { FluxError, type Issue } from './kernel/errors.ts';
import { silentLogger } from './kernel/logger.ts';
import { loadSettings } from './settings/load-settings.ts';
import type { Settings } from './settings/settings.ts';
import { judgeDataFiles } from './storage/local/data-files.ts';

/** Problems of a configuration that can be read. */
export interface Verdict {
  /** reasons why the node would not start */
  problems: string[];
  warnings: string[];
}

/**
 * Problems with certificates of endpoints are warnings: an unusable certificate keeps only its own endpoint from listening.
 * @throws SettingsError with every problem of the file and the environment
 */
export async function checkConfiguration(file: string | null, env: NodeJS.ProcessEnv, cwd: string): Promise<Verdict> {
  const { settings, warnings } = loadSettings({ file, env, cwd });
  const ofAdmin = await adminVerdict(settings);
  const { storeType, local } = settings.store;
  const ofFiles = storeType === 'MEMORY' ? { problems: [], warnings: [] } : judgeDataFiles(local.dataPath);
  return {
    problems: [...ofAdmin.problems, ...ofFiles.problems],
    warnings: [...warnings, ...ofAdmin.warnings, ...(await endpointProblems(settings)), ...ofFiles.warnings],
  };
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
      (error: unknown) => linesOf(error, `endpoint ${port} will not listen until that is fixed`),
    );
    found.push(...lines.map((text) => `endpoints[${index}].${text.startsWith('sslConfig') ? '' : 'sslConfig: '}${text}`));
  }
  return found;
}

/** One line per issue of the error. @param consequence appended to each line */
function linesOf(error: unknown, consequence: string): string[] {
  if (!(error instanceof FluxError)) throw error;
  return error.issues.map(({ path, message }: Issue) => `${path}: ${message}; ${consequence}`);
}
