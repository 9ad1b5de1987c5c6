/** Endpoints and their history in files: export, import, backup and restore. */

import { Problems } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { HistoryRow } from '../../storage/contract.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import { clearSecretWarnings, dryAnswerOf, planOf, setAnswerOf } from '../changes/answers.ts';
import { readImport } from '../changes/change-request.ts';
import type { ChangeRunner } from '../changes/change-runner.ts';
import type { ChangeSet } from '../changes/change-set.ts';
import type { BackupDocument, ExportDocument, ImportAnswer, PlanAnswer, RequestContext, RestoreAnswer, SetAnswer } from '../contract.ts';
import type { Desired } from '../endpoints/desired.ts';
import type { Runners } from '../endpoints/runners.ts';
import { DOCUMENT_VERSION, type FileBody, readFileBody, secretFormOf, toConfig } from './document.ts';
import { readRows, toRows } from './history-file.ts';
import { readConfigs } from './read-configs.ts';

export interface TransferOptions {
  desired: Desired;
  runners: Runners;
  changes: ChangeRunner;
  sealer: Sealer;
  keepsSecretsInClear: boolean;
  node: string;
}

/** Rows read from the store at once. */
const PAGE_ROWS = 1000;

/** What an import or a restore would make of the configuration. */
interface Prepared {
  set: ChangeSet;
  dryRun: boolean;
  warnings: string[];
}

export class Transfer {
  readonly #options: TransferOptions;

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  exportAll(isClear: boolean): ExportDocument {
    const { desired, sealer } = this.#options;
    const endpoints = desired.list().map(({ endpoint }) => endpoint);
    const form = secretFormOf(endpoints, sealer, isClear);
    const configs = endpoints.map((endpoint) => toConfig(endpoint, form));
    return { version: DOCUMENT_VERSION, exportedAt: new Date(wallNow()).toISOString(), revision: desired.revision, ...form.head, configs };
  }

  /** @throws FluxError `unavailable` */
  async backup(isClear: boolean): Promise<BackupDocument> {
    const { desired, sealer, node } = this.#options;
    // Read at one moment: rows of later changes are left out.
    const endpoints = desired.list().map(({ endpoint }) => endpoint);
    const { revision } = desired;
    const rows = await this.#allRows(revision);
    const past = rows.flatMap(({ before, after }) => [before, after].flatMap((endpoint) => endpoint ?? []));
    const form = secretFormOf([...endpoints, ...past], sealer, isClear);
    return {
      kind: 'fluxmq-backup',
      version: DOCUMENT_VERSION,
      takenAt: new Date(wallNow()).toISOString(),
      node,
      revision,
      ...form.head,
      configs: endpoints.map((endpoint) => toConfig(endpoint, form)),
      history: toRows(rows, form),
    };
  }

  /** @throws FluxError as Control.importAll */
  async importAll(body: Record<string, unknown>, context: RequestContext): Promise<ImportAnswer> {
    const prepared = this.#prepareImport(body, context);
    return countsOf(await this.#make(prepared), prepared.set);
  }

  /** What an import would do. @throws FluxError as `importAll` */
  plan(body: Record<string, unknown>, context: RequestContext): PlanAnswer {
    const { desired, runners } = this.#options;
    const { set, warnings } = this.#prepareImport(body, context);
    const plan = planOf(set, desired, runners);
    return { ...plan, warnings: [...warnings, ...plan.warnings] };
  }

  /** @throws FluxError as Control.restore */
  async restore(body: Record<string, unknown>, context: RequestContext): Promise<RestoreAnswer> {
    const problems = new Problems();
    const file = readFileBody(body, problems);
    const { history, secrets } = file;
    if (history !== undefined && !Array.isArray(history)) problems.add('history', 'must be a list');
    const prepared = this.#prepare('restore', file, context, problems);
    const { set } = prepared;
    const obstacle = this.#obstacle(history, secrets, context);
    if (obstacle === null) {
      set.adopts = readRows(
        history,
        set.changes.flatMap(({ after }) => after ?? []),
        this.#options.sealer,
        problems,
      );
      problems.throwIfAny('backup');
    } else prepared.warnings.push(`the history of the file was not taken: ${obstacle}`);
    const isAdopted = set.adopts !== null;
    return { ...countsOf(await this.#make(prepared), set), adopted: isAdopted };
  }

  #prepareImport(body: Record<string, unknown>, context: RequestContext): Prepared {
    const problems = new Problems();
    const file = readFileBody(body, problems);
    if (file.history !== undefined) problems.add('history', 'is part of a backup: restore takes it');
    return this.#prepare('import', file, context, problems);
  }

  /** @throws FluxError with every problem of the request and of the file, `revision-mismatch` */
  #prepare(action: 'import' | 'restore', { configs, rest }: FileBody, context: RequestContext, problems: Problems): Prepared {
    const { desired, sealer } = this.#options;
    desired.ensureWhole(context.expectedRevision);
    const request = problems.gather(() => readImport(rest));
    if (action === 'restore' && request?.mode === 'merge') problems.add('mode', 'a restore always replaces');
    const mode = action === 'restore' ? 'replace' : (request?.mode ?? 'merge');
    const stored = new Map(desired.list().map((each) => [each.endpoint.id, each]));
    const read = problems.gather(() => readConfigs(configs, mode, stored, sealer));
    if (request === undefined || read === undefined || problems.issues.length > 0) throw problems.toError(action);
    const set: ChangeSet = {
      action,
      // Who asks over NATS is not proven: the history says so whatever the action.
      source: context.source === 'nats' ? 'nats' : 'import',
      changes: read.changes,
      options: request.options,
      context,
      mustListen: true,
      isWhole: mode === 'replace' || context.expectedRevision !== null,
      settles: null,
      adopts: null,
    };
    return { set, dryRun: request.dryRun, warnings: read.warnings };
  }

  async #make({ set, dryRun, warnings }: Prepared): Promise<SetAnswer> {
    const { desired, changes, keepsSecretsInClear } = this.#options;
    if (dryRun) {
      const answer = dryAnswerOf(set, desired);
      return { ...answer, warnings: [...warnings, ...answer.warnings] };
    }
    const applied = await changes.apply(set);
    const answer = setAnswerOf(applied, set);
    const clear = keepsSecretsInClear ? clearSecretWarnings(applied.changes.flatMap(({ after }) => after ?? [])) : [];
    return { ...answer, warnings: [...warnings, ...answer.warnings, ...clear] };
  }

  /** Why the history of a backup cannot be taken; null when it can. */
  #obstacle(history: unknown, secrets: unknown, { confirmWithinMs }: RequestContext): string | null {
    if (history === undefined) return 'there is none';
    if (this.#options.desired.revision > 0) return 'the store is not empty';
    if (secrets === 'masked') return 'its secrets are masked';
    if (confirmWithinMs !== undefined) return 'what waits for a confirmation must be a revision of its own';
    return null;
  }

  async #allRows(upTo: number): Promise<HistoryRow[]> {
    const rows: HistoryRow[] = [];
    for (let before = upTo + 1; before > 1; ) {
      const page = await this.#options.desired.history({ before, limit: PAGE_ROWS });
      if (page.length === 0) break;
      rows.push(...page);
      before = page.at(-1)?.revision ?? 1;
    }
    return rows.reverse();
  }
}

/** How many endpoints came, changed, went and stayed. */
function countsOf(answer: SetAnswer, set: ChangeSet): ImportAnswer {
  const count = (action: string) => answer.changes.filter((change) => change.action === action).length;
  const [added, updated, removed] = [count('added'), count('updated'), count('removed')];
  const changed = new Set(answer.changes.map(({ id }) => id));
  const unchanged = set.changes.filter(({ after }) => after !== null && !changed.has(after.id)).length;
  return { added, updated, removed, unchanged, ...answer };
}
