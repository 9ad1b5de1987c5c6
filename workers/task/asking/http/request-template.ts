/** The request of an `http` authenticator, with the values of a client encoded for the place where they stand. */

import { fillTemplate, type Placeholder, parseTemplate, type Template } from '../../../../src/endpoint/access/placeholders.ts';
import type { HttpAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import type { AskWho } from '../../../../src/thread/access/ask.ts';
import { factOf, Unwritable } from '../facts.ts';

export interface FilledRequest {
  /** path and query */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

const FORM = 'application/x-www-form-urlencoded';

interface Field {
  readonly name: string;
  readonly template: Template;
  /** the value is a number or a boolean, or one placeholder alone */
  readonly value: string | number | boolean;
}

export class RequestTemplate {
  readonly origin: string;
  /** the path between its slashes */
  readonly #segments: readonly Template[];
  readonly #query: Template | null;
  readonly #headers: readonly Field[];
  readonly #body: readonly Field[] | null;
  readonly #isForm: boolean;

  constructor({ url, headers, body }: HttpAuthConfig) {
    const [origin = ''] = /^https?:\/\/[^/?]*/i.exec(url) ?? [];
    const rest = url.slice(origin.length);
    const at = rest.indexOf('?');
    const path = at < 0 ? rest : rest.slice(0, at);
    this.origin = new URL(origin).origin;
    this.#segments = (path === '' ? '/' : path).split('/').map(parseTemplate);
    this.#query = at < 0 ? null : parseTemplate(rest.slice(at));
    this.#isForm = headers['content-type'] === FORM;
    const sent = { accept: 'application/json, text/plain;q=0.5', 'accept-encoding': 'identity', 'user-agent': 'fluxmq', ...headers };
    const typed = body === null || 'content-type' in headers ? sent : { ...sent, 'content-type': 'application/json' };
    this.#headers = fieldsOf(typed);
    this.#body = body === null ? null : fieldsOf(body);
  }

  /** Null: a value of the client cannot be written where it belongs, and so no such client exists. */
  fill(who: AskWho): FilledRequest | null {
    try {
      return {
        path:
          this.#segments.map((segment) => fillSegment(segment, who)).join('/') + (this.#query === null ? '' : fillUrl(this.#query, who)),
        headers: Object.fromEntries(this.#headers.map(({ name, template }) => [name, fillHeader(template, who)])),
        body: this.#body === null ? null : this.#isForm ? fillForm(this.#body, who) : fillJson(this.#body, who),
      };
    } catch (error) {
      if (error instanceof Unwritable) return null;
      throw error;
    }
  }
}

function fieldsOf(values: Record<string, string | number | boolean>): Field[] {
  return Object.entries(values).map(([name, value]) => ({ name, value, template: parseTemplate(String(value)) }));
}

function fillUrl(template: Template, who: AskWho): string {
  return fillTemplate(template, (name) => encode(factOf(who, name) ?? ''));
}

/** encodeURIComponent() leaves some characters that separate parts of a path or a query elsewhere. */
function encode(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A value that makes a segment `.` or `..` would name another path. */
function fillSegment(template: Template, who: AskWho): string {
  const segment = fillUrl(template, who);
  if (template.length > 1 && /^\.{1,2}$/.test(segment)) throw new Unwritable();
  return segment;
}

/** A value with CR, LF or another control character would begin a header of its own. Others than Latin-1 are sent as UTF-8. */
function fillHeader(template: Template, who: AskWho): string {
  const text = fillTemplate(template, (name) => factOf(who, name) ?? '');
  if (/\p{Cc}/u.test(text)) throw new Unwritable();
  return Buffer.from(text, 'utf8').toString('latin1');
}

function fillForm(fields: readonly Field[], who: AskWho): string {
  const form = new URLSearchParams();
  for (const { name, template } of fields)
    form.append(
      name,
      fillTemplate(template, (placeholder) => factOf(who, placeholder) ?? ''),
    );
  return form.toString();
}

/** A value that is one placeholder alone becomes null when the client lacks it. */
function fillJson(fields: readonly Field[], who: AskWho): string {
  const values = fields.map(({ name, value, template }): [string, unknown] => {
    if (typeof value !== 'string') return [name, value];
    if (template.length === 3 && template[0] === '' && template[2] === '') return [name, factOf(who, template[1] as Placeholder)];
    return [name, fillTemplate(template, (placeholder) => factOf(who, placeholder) ?? '')];
  });
  return JSON.stringify(Object.fromEntries(values));
}
