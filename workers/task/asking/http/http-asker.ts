/** Asks a web service about a login. */

import type { HttpAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import type { AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';
import type { Asker } from '../contract.ts';
import { type HttpClient, openHttpClient } from './client.ts';
import { DENY, judgeStatus, readBody } from './read-answer.ts';
import { RequestTemplate } from './request-template.ts';

const ANSWER_BYTES_MAX = 64 * 1024;

/** @throws Error when the certificates of `ca` cannot be read */
export async function openHttpAsker(config: HttpAuthConfig): Promise<Asker> {
  const { ca, timeout: timeoutMs, maxRequests: connections } = config;
  const template = new RequestTemplate(config);
  const client = await openHttpClient({ origin: template.origin, connections, timeoutMs, ca, bytesMax: ANSWER_BYTES_MAX });
  return new HttpAsker(config, template, client);
}

class HttpAsker implements Asker {
  readonly #config: HttpAuthConfig;
  readonly #template: RequestTemplate;
  readonly #client: HttpClient;

  constructor(config: HttpAuthConfig, template: RequestTemplate, client: HttpClient) {
    this.#config = config;
    this.#template = template;
    this.#client = client;
  }

  async ask(who: AskWho, signal: AbortSignal): Promise<LoginVerdict> {
    const request = this.#template.fill(who);
    if (request === null) return DENY;
    const { method, answer } = this.#config;
    const { status, contentType, text } = await this.#client.request({ method, ...request }, signal, answer === 'auto');
    const decided = judgeStatus(status);
    if (decided !== null) return decided;
    return answer === 'auto' ? readBody(contentType, text) : { result: 'allow' };
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
