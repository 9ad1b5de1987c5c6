/** The `http` section of a configuration file, with the environment on top. */

import { isObject } from '../../endpoint/problems.ts';
import { readDocument } from '../../settings/document.ts';
import { overlayEnvironment } from '../../settings/environment.ts';
import { issueLines, usageFailure } from '../failure.ts';

/**
 * @param text the text of config.yaml; '' without a file
 * @throws CommandFailure (usage) when the file is not YAML, or its http section has a problem
 */
export function readHttpSection(text: string, env: NodeJS.ProcessEnv): Record<string, unknown> {
  const document = readDocument(text, env);
  const value = isObject(document.value) ? document.value : {};
  const relevant = document.issues.filter(({ path }) => path === '' || path.startsWith('http'));
  if (relevant.length > 0) throw usageFailure('the configuration cannot be read', issueLines(relevant));
  const http = overlayEnvironment(isObject(value['http']) ? { http: value['http'] } : {}, env).value['http'];
  return isObject(http) ? http : {};
}
