/** The requests that change the configuration, or that show what a change would do. */

import type { Upload } from '../../kernel/input/upload.ts';
import type {
  BackupStream,
  ChangeAnswer,
  ConfirmAnswer,
  ExportDocument,
  ImportAnswer,
  PlanAnswer,
  RestoreAnswer,
  RollbackAnswer,
  ValidateAnswer,
} from './answers.ts';
import type { RequestContext } from './request-parts.ts';

/** The form of secrets in a file. */
export interface SecretsWanted {
  /** true: every secret in clear text, on request of an administrator */
  isClear: boolean;
  /** true, for administrators only: keeps password hashes. A hash logs nobody in, but allows offline guessing */
  keepsHashes: boolean;
}

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface ChangeRequests {
  add(body: unknown, context: RequestContext): Promise<ChangeAnswer>;
  update(body: unknown, context: RequestContext): Promise<ChangeAnswer>;
  remove(body: unknown, context: RequestContext): Promise<ChangeAnswer>;
  setEnabled(enabled: boolean, body: unknown, context: RequestContext): Promise<ChangeAnswer>;
  rollback(body: unknown, context: RequestContext): Promise<RollbackAnswer>;
  /** keeps a change that was made with `confirmWithinMs` */
  confirm(body: unknown, context: RequestContext): Promise<ConfirmAnswer>;
  plan(body: unknown, context: RequestContext): Promise<PlanAnswer>;
  validate(body: unknown): Promise<ValidateAnswer>;
  exportAll(wanted: SecretsWanted): Promise<ExportDocument>;
  importAll(body: unknown, context: RequestContext): Promise<ImportAnswer>;
  backup(wanted: SecretsWanted, hasHistory: boolean): Promise<BackupStream>;
  /** The caller closes the upload. */
  restore(upload: Upload, context: RequestContext): Promise<RestoreAnswer>;
}
