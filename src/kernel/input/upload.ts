/** An uploaded file: kept on the node's disk while it is read, several times where needed, and never in memory as a whole. */

import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FluxError, messageOf } from '../errors.ts';
import { Pace } from '../turns/pace.ts';
import { ENDPOINTS_MAX, isFileContainer, USERS_IN_FILE_MAX } from './file-form.ts';
import { type Descends, type OnPiece, PieceReader, parseJson } from './json-pieces.ts';

/** Bytes from the network. The iteration throws when the sender breaks off. */
export type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A file up to this size stays in memory. */
const MEMORY_BYTES_MAX = 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** Bytes between two readings of the clock. */
const STEP_BYTES = 64 * 1024;
let count = 0;

export class Upload {
  readonly #chunks: Uint8Array[];
  readonly #file: FileHandle | null;

  private constructor(chunks: Uint8Array[], file: FileHandle | null) {
    this.#chunks = chunks;
    this.#file = file;
  }

  /**
   * Takes the whole file. The caller closes the result.
   * @param folder for a file that does not stay in memory
   * @throws FluxError `unavailable` when the disk cannot take the file; errors of the source pass through
   */
  static async take(source: Bytes, folder: string): Promise<Upload> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    let file: FileHandle | null = null;
    try {
      for await (const chunk of source) {
        size += chunk.byteLength;
        if (file === null && size <= MEMORY_BYTES_MAX) chunks.push(chunk);
        else {
          file ??= await openNameless(folder);
          for (const one of [...chunks.splice(0), chunk]) await write(file, one);
        }
      }
      return new Upload(chunks, file);
    } catch (error) {
      await file?.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  /**
   * The document without its history.
   * @returns the document with its endpoints; `history` is an empty list when the file has one
   * @throws FluxError `invalid` (no JSON), `too-large` (too many endpoints)
   */
  async document(): Promise<Record<string, unknown>> {
    const root: Record<string, unknown> = {};
    let endpoints = 0;
    const onPiece: OnPiece = (path, text) => {
      const [holder, name, index] = placeOf(root, path);
      if (name === undefined || typeof path[0] === 'number') throw notAnObject();
      if (index === undefined) holder[name] = parseJson(text());
      else if (name !== 'history') {
        const list = holder[name] as unknown[];
        if (name !== 'users') endpoints++;
        if (endpoints > ENDPOINTS_MAX) throw tooMany('configs', ENDPOINTS_MAX, 'endpoints');
        if (name === 'users' && list.length === USERS_IN_FILE_MAX) throw tooMany('users', USERS_IN_FILE_MAX, 'users');
        list.push(parseJson(text()));
      }
    };
    const descends: Descends = (path, isList) => {
      if (!isFileContainer(path, isList)) return false;
      const [holder, name] = placeOf(root, path);
      // This makes an empty list appear, too.
      if (name !== undefined) holder[name] ??= name === 'data' ? {} : [];
      return true;
    };
    const reader = new PieceReader(descends, onPiece);
    const pace = new Pace();
    for await (const bytes of this.#bytes()) {
      for (let from = 0; from < bytes.length; from += STEP_BYTES) {
        reader.write(bytes.subarray(from, from + STEP_BYTES));
        if (pace.isOver) await pace.next();
      }
    }
    reader.end();
    return root;
  }

  /** The elements of the history, one after the other. @throws FluxError `invalid` */
  async *history(): AsyncGenerator<unknown> {
    const rows: unknown[] = [];
    const reader = new PieceReader(isFileContainer, (path, text) => {
      const [, name, index] = placeOf({}, path);
      if (name === 'history' && index !== undefined) rows.push(parseJson(text()));
    });
    for await (const bytes of this.#bytes()) {
      for (let from = 0; from < bytes.length; from += STEP_BYTES) {
        reader.write(bytes.subarray(from, from + STEP_BYTES));
        yield* rows.splice(0);
      }
    }
    reader.end();
    yield* rows.splice(0);
  }

  async *#bytes(): AsyncGenerator<Buffer> {
    if (this.#file === null) {
      for (const { buffer, byteOffset, byteLength } of this.#chunks) yield Buffer.from(buffer, byteOffset, byteLength);
      return;
    }
    for (let position = 0; ; ) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}

/** The place of a piece: its holder, its name there, and its index when it is an element of a list. */
function placeOf(
  root: Record<string, unknown>,
  path: readonly (string | number)[],
): [holder: Record<string, unknown>, name: string | undefined, index: string | number | undefined] {
  if (path[0] !== 'data' || path.length === 1) return [root, path[0] === undefined ? undefined : String(path[0]), path[1]];
  root['data'] ??= {};
  return [root['data'] as Record<string, unknown>, String(path[1]), path[2]];
}

function notAnObject(): FluxError {
  return new FluxError('invalid', 'The body must be a JSON object', { issues: [{ path: '', message: 'expected an object' }] });
}

function tooMany(path: string, max: number, what: string): FluxError {
  const message = `has more than ${max} ${what}, the most that a file may have`;
  return new FluxError('too-large', `${path} ${message}`, { issues: [{ path, message }] });
}

/** Opens a file without a name, which vanishes when the process ends in any way: the file may hold secrets. */
async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `upload-${process.pid}-${++count}.tmp`);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(path, 'wx+', 0o600);
    await rm(path, { force: true });
    return file;
  } catch (cause) {
    throw noRoom(cause);
  }
}

async function write(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    await file.appendFile(bytes);
  } catch (cause) {
    throw noRoom(cause);
  }
}

function noRoom(cause: unknown): FluxError {
  const why = messageOf(cause);
  return new FluxError('unavailable', `The file cannot be kept on the disk of the node while it is read: ${why}; nothing was changed`, {
    cause,
  });
}
