/** An endpoint worker's queries for retained messages, answered page by page, and the data that their readers share. */

import type { Mesh } from '../../shared/mesh/mesh.ts';
import { isForeign, type Message } from '../../shared/messages/message.ts';
import type { Run } from '../../shared/messages/run.ts';
import type { Control } from '../../shared/wire/controls.ts';
import { packetsOfVersion5, type RetainedPage, readPage } from '../../shared/wire/page.ts';
import { RecentRetained } from './recent.ts';

/** Deadline for a page (ms). A page that is still missing will not come: a session worker that hung has been replaced. */
const DEADLINE_MS = 30_000;
/** Bytes of pages kept for further readers, with their packets in both versions. */
const KEPT_BYTES = 8 * 1024 * 1024;

/** A page in this worker, shared by its readers. */
export class LocalPage {
  readonly page: RetainedPage;
  /** resolves when everything that the peers routed before the page was made has arrived here; null: it has arrived */
  fence: Promise<void> | null;
  #messages: readonly Message[] | null = null;
  #run: Run | null = null;

  constructor(page: RetainedPage, fence: Promise<void> | null) {
    this.page = page;
    this.fence = fence;
    void fence?.then(() => {
      this.fence = null;
    });
  }

  get bytes(): number {
    return 2 * this.page.packets.byteLength;
  }

  get messages(): readonly Message[] {
    this.#messages ??= readPage(this.page);
    return this.#messages;
  }

  /** The whole page as a QoS 0 run. @param version of the subscriber. Must not be called for a page with expiring messages */
  runFor(version: number): Run {
    const { packets, count } = this.page;
    this.#run ??= { buf: asBuffer(packets), start: 0, end: packets.byteLength, count, version: 4, other: null, from: '' };
    if (version === 5) this.#run.other ??= packetsOfVersion5(this.messages);
    return this.#run;
  }
}

/** Reads the answer to a query. */
export interface RetainedReader {
  /**
   * Page number `at` of the messages that match the filter. Null: the filter has no such page; behind the last filter: no page is left.
   * @param isLast no further page follows for the filter
   */
  onPage(filterAt: number, at: number, page: LocalPage | null, isLast: boolean): void;
  /** A new session worker runs: the query must ask again, with restart(). */
  onRestart(): void;
  /** The page has missed its deadline. */
  onLate(): void;
}

/** The query of subscriptions that were made together. It records new messages from its beginning until end(). */
export class RetainedQuery {
  readonly request: number;
  readonly namespace: string;
  readonly filters: readonly string[];
  readonly recent: RecentRetained;
  readonly #queries: RetainedQueries;
  readonly #beganAt: number;
  #askedAt = Number.POSITIVE_INFINITY;
  #waiting: ReadonlyMap<string, Uint8Array> | null = null;
  #timer: NodeJS.Timeout | undefined;
  reader: RetainedReader | null = null;
  #isEnded = false;

  constructor(queries: RetainedQueries, request: number, namespace: string, filters: readonly string[], recent: RecentRetained) {
    this.#queries = queries;
    this.request = request;
    this.namespace = namespace;
    this.filters = filters;
    this.recent = recent;
    this.#beganAt = recent.last;
    recent.readers++;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** True when no message that a page could repeat has passed or waits in the session. */
  get isUndisturbed(): boolean {
    return this.recent.last === this.#beganAt && this.#waiting === null;
  }

  /** Omits messages that wait in the session, which delivers them itself. @param waiting topic → payload of the newest one */
  leaveOut(waiting: ReadonlyMap<string, Uint8Array>): void {
    if (waiting.size > 0) this.#waiting = waiting;
  }

  /** Requests the first page. Call it when every peer knows the filters. */
  ask(reader: RetainedReader): void {
    this.reader = reader;
    this.#askedAt = this.recent.last;
    this.restart(0);
  }

  /** Asks a new session worker, starting with the first page of a filter. */
  restart(filterAt: number): void {
    const { request, namespace, filters } = this;
    this.#queries.say({ t: 'retained-get', request, namespace, filters, from: filterAt });
    this.#await();
  }

  /** Requests a page. @param isFresh the previous content is out of date: the page must show the present state */
  want(filterAt: number, page: number, isFresh: boolean): void {
    this.#queries.say({ t: 'retained-next', request: this.request, filterAt, page, isFresh });
    this.#await();
  }

  #await(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.reader?.onLate(), DEADLINE_MS);
  }

  onPage(filterAt: number, at: number, page: LocalPage | null, isLast: boolean): void {
    clearTimeout(this.#timer);
    this.reader?.onPage(filterAt, at, page, isLast);
  }

  /** True when the subscriber was already sent this message or a newer one on its topic: the answer must not repeat it. */
  isOvertaken(message: Message): boolean {
    const waiting = this.#waiting?.get(message.topic);
    if (waiting !== undefined && Buffer.compare(waiting, message.payload) === 0) return true;
    return this.recent.isOvertaken(message, this.#beganAt, this.#askedAt);
  }

  /** Ends the query: everything is sent, or its reader has gone. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#queries.onEnded(this, this.reader !== null);
  }
}

export class RetainedQueries {
  readonly #mesh: Mesh;
  readonly #queries = new Map<number, RetainedQuery>();
  /** by namespace, while a query reads there */
  readonly #recent = new Map<string, RecentRetained>();
  /** by page id, the oldest first */
  readonly #pages = new Map<number, LocalPage>();
  #pageBytes = 0;
  #last = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** Starts to record new messages, when subscriptions are made. The caller must end the query. */
  begin(namespace: string, filters: readonly string[]): RetainedQuery {
    let recent = this.#recent.get(namespace);
    if (recent === undefined) {
      recent = new RecentRetained();
      this.#recent.set(namespace, recent);
    }
    const query = new RetainedQuery(this, ++this.#last, namespace, filters, recent);
    this.#queries.set(query.request, query);
    return query;
  }

  onPublish(namespace: string, message: Message): void {
    this.#recent.get(namespace)?.note(message);
  }

  onPage({ request, filterAt, at, page, isLast }: Extract<Control, { t: 'retained-page' }>): void {
    const query = this.#queries.get(request);
    if (query === undefined) return;
    if (page === null) {
      query.onPage(filterAt, at, null, isLast);
      return;
    }
    const local = this.#pages.get(page.id) ?? this.#keep(page);
    if (local.fence === null) query.onPage(filterAt, at, local, isLast);
    else void local.fence.then(() => query.isEnded || query.onPage(filterAt, at, local, isLast));
  }

  #keep(page: RetainedPage): LocalPage {
    // The session worker may have a publish that still waits for this worker in the queue of a peer.
    const links = [...this.#mesh.links.values()];
    const relay = links.find(({ role }) => role === 'relay')?.id ?? 0;
    const session = this.#mesh.sessionLink?.id;
    const sources = page.sources.filter((source) => source !== session).map((source) => (isForeign({ source }) ? relay : source));
    const local = new LocalPage(page, this.#mesh.fence(sources));
    this.#pages.set(page.id, local);
    this.#pageBytes += local.bytes;
    for (const [id, oldest] of this.#pages) {
      if (this.#pageBytes <= KEPT_BYTES || oldest === local) break;
      this.#pages.delete(id);
      this.#pageBytes -= oldest.bytes;
    }
    return local;
  }

  onEnded(query: RetainedQuery, isAsked: boolean): void {
    this.#queries.delete(query.request);
    const { recent, namespace, request } = query;
    if (--recent.readers === 0) this.#recent.delete(namespace);
    if (isAsked) this.say({ t: 'retained-end', request });
    if (this.#queries.size > 0) return;
    this.#pages.clear();
    this.#pageBytes = 0;
  }

  /** Sends to the session worker. Without one, the message is dropped: the next session worker is asked again. */
  say(control: Control): void {
    this.#mesh.sessionLink?.control(control);
  }

  /** Repeats unanswered requests, because a new session worker runs. */
  onSessionWorker(): void {
    this.#pages.clear();
    this.#pageBytes = 0;
    for (const query of this.#queries.values()) query.reader?.onRestart();
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
