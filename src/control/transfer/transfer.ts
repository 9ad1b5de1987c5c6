/** Endpoints and their history in files: export, import, backup and restore. */

import { isObject, Problems } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Upload } from '../../kernel/input/upload.ts';
import { Pace } from '../../kernel/turns/pace.ts';
import type { RowPage, RowPlace } from '../../storage/endpoint-store.ts';
import { BEGINNING } from '../../storage/history-sql.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import { clearSecretWarnings, dryAnswerOf, planOf, setAnswerOf } from '../changes/answers.ts';
import { readImport } from '../changes/change-body.ts';
import type { ChangeRunner } from '../changes/change-runner.ts';
import type { ChangeSet } from '../changes/change-set.ts';
import type { BackupStream, ExportDocument, ImportAnswer, PlanAnswer, RestoreAnswer, SetAnswer } from '../contract/answers.ts';
import type { SecretsWanted } from '../contract/change-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { DOCUMENT_VERSION, type FileBody, FileSecrets, readFileBody } from './document.ts';
import { checkPast, pastOf, toRow } from './history-file.ts';
import { readConfigs } from './read-configs.ts';

export interface TransferOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  changes: ChangeRunner;
  sealer: Sealer;
  keepsSecretsInClear: boolean;
  node: string;
}

/** Rows of one read from the store: some milliseconds of the main thread. */
const PAGE_ROWS = 100;

/** An import or a restore, read and not yet applied. */
interface Prepared {
  set: ChangeSet;
  dryRun: boolean;
  warnings: string[];
}

export class Transfer {
  readonly #options: TransferOptions;
  #reading = 0;

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  /** Runs in slices of the thread. */
  async exportAll(wanted: SecretsWanted): Promise<ExportDocument> {
    const { desired, sealer } = this.#options;
    const { revision } = desired;
    const secrets = new FileSecrets(sealer, wanted);
    const pace = new Pace();
    const configs: Record<string, unknown>[] = [];
    for (const { endpoint } of desired.list()) {
      configs.push(secrets.toConfig(endpoint));
      if (pace.isOver) await pace.next();
    }
    return { version: DOCUMENT_VERSION, exportedAt: new Date(wallNow()).toISOString(), revision, ...secrets.head(), configs };
  }

  /**
   * A backup as text, made while it is read.
   * @param hasHistory false: endpoints only
   * @throws FluxError `unavailable`. The text throws the same when the store goes away in the middle, or drops rows that were not read yet
   */
  async backup(wanted: SecretsWanted, hasHistory: boolean): Promise<BackupStream> {
    const { desired, sealer, node } = this.#options;
    // All of this is read at one moment: rows of later changes are left out.
    const endpoints = desired.list().map(({ endpoint }) => endpoint);
    const { revision } = desired;
    const { floor } = await desired.rows(BEGINNING, 1);
    const now = new FileSecrets(sealer, wanted);
    const pace = new Pace();
    for (const endpoint of endpoints) {
      now.toConfig(endpoint);
      if (pace.isOver) await pace.next();
    }
    const secrets = new FileSecrets(sealer, wanted);
    const history = hasHistory ? this.#historyText(revision, floor, secrets) : null;
    const head = { kind: 'fluxmq-backup', version: DOCUMENT_VERSION, takenAt: new Date(wallNow()).toISOString(), node, revision };
    async function* text(): AsyncGenerator<string> {
      yield `${JSON.stringify({ ...head, ...(hasHistory ? { historyFloor: floor } : {}) }).slice(0, -1)},"configs":[`;
      for (const [index, endpoint] of endpoints.entries()) yield `${index === 0 ? '' : ','}\n${JSON.stringify(secrets.toConfig(endpoint))}`;
      yield '\n]';
      if (history !== null) {
        yield ',"history":[';
        yield* history;
        yield '\n]';
      }
      // The form of the secrets is known once everything is written.
      yield `,${JSON.stringify(secrets.head()).slice(1)}\n`;
    }
    return { revision, ...now.head(), text: text() };
  }

  /** True while a backup reads the history, which must not be trimmed during that time. */
  get isReading(): boolean {
    return this.#reading > 0;
  }

  async *#historyText(revision: number, floor: number, secrets: FileSecrets): AsyncGenerator<string> {
    let isFirst = true;
    this.#reading++;
    try {
      for (let place: RowPlace | null = BEGINNING; place !== null; ) {
        const page: RowPage = await this.#options.desired.rows(place, PAGE_ROWS);
        if (page.floor > floor && place.revision < page.floor)
          throw new FluxError('unavailable', 'The history was trimmed during the backup: take the backup again');
        const rows = page.rows.filter((row) => row.revision <= revision);
        for (const row of rows) {
          yield `${isFirst ? '' : ','}\n${JSON.stringify(toRow(row, secrets))}`;
          isFirst = false;
        }
        place = rows.length < page.rows.length ? null : page.next;
      }
    } finally {
      this.#reading--;
    }
  }

  /** @throws FluxError as ControlPlane.importAll */
  async importAll(body: Record<string, unknown>, context: RequestContext): Promise<ImportAnswer> {
    const prepared = await this.#prepareImport(body, context);
    return countsOf(await this.#make(prepared), prepared.set);
  }

  /** The effect that an import would have. @throws FluxError as `importAll` */
  async plan(body: Record<string, unknown>, context: RequestContext): Promise<PlanAnswer> {
    const { desired, supervisors } = this.#options;
    const { set, warnings } = await this.#prepareImport(body, context);
    const plan = await planOf(set, desired, supervisors);
    return { ...plan, warnings: [...warnings, ...plan.warnings] };
  }

  /** @throws FluxError as ControlPlane.restore */
  async restore(upload: Upload, context: RequestContext): Promise<RestoreAnswer> {
    const problems = new Problems();
    const file = readFileBody(await upload.document(), problems);
    const { history, secrets } = file;
    if (history !== undefined && !Array.isArray(history)) problems.add('history', 'must be a list');
    const head = readHead(file, problems);
    const prepared = await this.#prepare('restore', file, context, problems);
    const { set } = prepared;
    const obstacle = this.#obstacle(history, secrets, context);
    if (obstacle === null) {
      const revision = head.revision ?? (await lastRevision(upload));
      const past = pastOf(upload, { revision, floor: head.floor }, this.#options.sealer);
      await checkPast(
        past,
        set.changes.flatMap(({ after }) => after ?? []),
      );
      set.adopts = past;
    } else prepared.warnings.push(`the history of the file was not taken: ${obstacle}`);
    const isAdopted = set.adopts !== null;
    return { ...countsOf(await this.#make(prepared), set), adopted: isAdopted };
  }

  async #prepareImport(body: Record<string, unknown>, context: RequestContext): Promise<Prepared> {
    const problems = new Problems();
    const file = readFileBody(body, problems);
    if (file.history !== undefined) problems.add('history', 'is part of a backup: restore takes it');
    return this.#prepare('import', file, context, problems);
  }

  /** @throws FluxError with every problem of the request and of the file, `revision-mismatch` */
  async #prepare(
    action: 'import' | 'restore',
    { configs, rest }: FileBody,
    context: RequestContext,
    problems: Problems,
  ): Promise<Prepared> {
    const { desired, sealer } = this.#options;
    desired.ensureWhole(context.expectedRevision);
    const request = problems.gather(() => readImport(rest));
    if (action === 'restore' && request?.mode === 'merge') problems.add('mode', 'a restore always replaces');
    const mode = action === 'restore' ? 'replace' : (request?.mode ?? 'merge');
    const whole = desired.complete;
    const stored = new Map(desired.list().map((each) => [each.endpoint.id, each]));
    const reading = await readConfigs(configs, mode, stored, sealer).then(
      (value) => () => value,
      (error: unknown) => (): never => {
        throw error;
      },
    );
    const read = problems.gather(reading);
    if (request === undefined || read === undefined || problems.issues.length > 0) throw problems.toError(action);
    const set: ChangeSet = {
      action,
      // A caller over NATS is unauthenticated, so the history names NATS as the source, whatever the action.
      source: context.source === 'nats' ? 'nats' : 'import',
      changes: read.changes,
      options: request.options,
      context,
      mustListen: true,
      whole: mode === 'replace' || context.expectedRevision !== null ? whole : null,
      settles: null,
      adopts: null,
    };
    return { set, dryRun: request.dryRun, warnings: read.warnings };
  }

  async #make({ set, dryRun, warnings }: Prepared): Promise<SetAnswer> {
    const { desired, changes, keepsSecretsInClear } = this.#options;
    if (dryRun) {
      const answer = await dryAnswerOf(set, desired);
      return { ...answer, warnings: [...warnings, ...answer.warnings] };
    }
    const applied = await changes.apply(set);
    const answer = setAnswerOf(applied, set);
    const clear = keepsSecretsInClear ? clearSecretWarnings(applied.changes.flatMap(({ after }) => after ?? [])) : [];
    return { ...answer, warnings: [...warnings, ...answer.warnings, ...clear] };
  }

  /** Why the history of a backup cannot be taken over; null when it can. */
  #obstacle(history: unknown, secrets: unknown, { confirmWithinMs }: RequestContext): string | null {
    if (history === undefined) return 'there is none';
    if (this.#options.desired.revision > 0) return 'the store is not empty';
    if (secrets === 'masked') return 'its secrets are masked';
    if (confirmWithinMs !== undefined) return 'a change that waits for a confirmation must be a revision of its own';
    return null;
  }
}

/** Newest revision of the history, for a backup that does not name one. */
async function lastRevision(upload: Upload): Promise<number> {
  let last = 0;
  for await (const row of upload.history()) if (isObject(row) && typeof row['revision'] === 'number') last = row['revision'];
  return last;
}

/** Facts of a backup about its history. A backup without them comes from an older version, and its history is whole. */
function readHead({ revision, floor }: FileBody, problems: Problems): { revision: number | null; floor: number } {
  const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  if (!isCount(floor)) problems.add('historyFloor', 'must be a whole number');
  if (revision !== undefined && !isCount(revision)) problems.add('revision', 'must be a whole number');
  return { revision: isCount(revision) ? revision : null, floor: isCount(floor) ? floor : 0 };
}

/** How many endpoints were added, updated, removed and left unchanged. */
function countsOf(answer: SetAnswer, set: ChangeSet): ImportAnswer {
  const count = (action: string) => answer.changes.filter((change) => change.action === action).length;
  const [added, updated, removed] = [count('added'), count('updated'), count('removed')];
  const changed = new Set(answer.changes.map(({ id }) => id));
  const unchanged = set.changes.filter(({ after }) => after !== null && !changed.has(after.id)).length;
  return { added, updated, removed, unchanged, ...answer };
}
