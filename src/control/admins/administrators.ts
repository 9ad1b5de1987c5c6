/** Changes administrators in the store, and reports them beside those of the configuration. */

import type { AdminChangeAnswer, AdminsAnswer, AdminView } from '../../answers/admins.ts';
import { ADMINS_MAX, type Administrator, type GivenAdministrator, readAdministrator, readName } from '../../endpoint/admins/admin.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';
import { makeHash } from '../../kernel/logins/make-hash.ts';
import type { HttpSettings } from '../../settings/settings.ts';
import type { AdminRequests } from '../contract/access/admin-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DocumentChanges } from '../documents/document-changes.ts';
import type { NamedDocument, NamedDocuments } from './named-documents.ts';

export interface AdministratorsOptions {
  stored: NamedDocuments<Administrator>;
  documents: DocumentChanges;
  /** the administrators of the configuration, who cannot be changed */
  http: Pick<HttpSettings, 'username' | 'password' | 'viewers'>;
}

export class Administrators implements AdminRequests {
  readonly #options: AdministratorsOptions;

  constructor(options: AdministratorsOptions) {
    this.#options = options;
  }

  list(): AdminsAnswer {
    const { stored, http } = this.#options;
    const configured = (username: string, role: AdminView['role']): AdminView => {
      return { username, role, comment: '', revision: null, isConfigured: true };
    };
    const own = http.password === null ? [] : [configured(http.username, 'admin')];
    return {
      admins: [...own, ...http.viewers.map(({ username }) => configured(username, 'viewer')), ...stored.list().map(toAdminView)],
    };
  }

  async add(body: unknown, context: RequestContext): Promise<AdminChangeAnswer> {
    const { stored, http } = this.#options;
    const given = read(body, null);
    const { name } = given.admin;
    this.#refuseConfigured(name);
    if (http.password === null)
      throw new FluxError('unprocessable', 'Set http.password first: without it everybody who reaches the admin API is an administrator');
    if (stored.total >= ADMINS_MAX) throw new FluxError('too-large', `A cluster keeps at most ${ADMINS_MAX} administrators`);
    try {
      return await this.#put(given, 0, 'add', context);
    } catch (error) {
      if (!(error instanceof FluxError) || error.kind !== 'exists') throw error;
      const issues = [{ path: 'username', message: 'exists already' }];
      throw new FluxError('exists', `There is an administrator ${name} already`, { issues });
    }
  }

  async update(body: unknown, context: RequestContext): Promise<AdminChangeAnswer> {
    const name = nameOf(body);
    return this.#options.documents.attempt(context, async () => {
      const known = this.#known(name, context);
      return this.#put(read(body, known.value), known.revision, 'update', context);
    });
  }

  async remove(body: unknown, context: RequestContext): Promise<AdminChangeAnswer> {
    const { stored, documents } = this.#options;
    const name = nameOf(body);
    return documents.attempt(context, async () => {
      const { revision } = this.#known(name, context);
      return { admin: null, ...(await documents.commit([stored.removal(name, revision)], 'remove', context)) };
    });
  }

  async #put({ admin, password }: GivenAdministrator, expected: number, action: 'add' | 'update', context: RequestContext) {
    const { stored, documents } = this.#options;
    const value = password === null ? admin : { ...admin, hash: await makeHash('argon2id', password) };
    const done = await documents.commit([stored.put(value, expected)], action, context);
    return { admin: toAdminView({ value, revision: done.revision }), ...done };
  }

  #known(name: string, { expectedRevision }: RequestContext): NamedDocument<Administrator> {
    this.#refuseConfigured(name);
    const known = this.#options.stored.get(name);
    if (known === null) throw new FluxError('not-found', `There is no administrator ${name}`);
    if (expectedRevision !== null && expectedRevision !== known.revision)
      throw new FluxError('revision-mismatch', `The administrator is at revision ${known.revision}, not ${expectedRevision}`, {
        data: toAdminView(known),
      });
    return known;
  }

  #refuseConfigured(name: string): void {
    const { username, viewers } = this.#options.http;
    if (name !== username && !viewers.some((viewer) => viewer.username === name)) return;
    throw new FluxError('exists', `${name} stands in the configuration of this node, which requests do not change`);
  }
}

function toAdminView({ value: { name, role, comment }, revision }: NamedDocument<Administrator>): AdminView {
  return { username: name, role, comment, revision, isConfigured: false };
}

/** @throws FluxError `invalid` */
function nameOf(body: unknown): string {
  const problems = new Problems();
  const name = readName(isObject(body) ? body['username'] : undefined, 'username', problems);
  problems.throwIfAny('administrator');
  return name ?? '';
}

/** @throws FluxError `invalid` */
function read(body: unknown, old: Administrator | null): GivenAdministrator {
  const problems = new Problems();
  const { reason, ...rest } = isObject(body) ? body : {};
  const given = readAdministrator(rest, problems, old);
  problems.throwIfAny('administrator');
  if (given === null) throw new Error('an administrator without problems must be readable');
  return given;
}
