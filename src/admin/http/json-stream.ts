/** Answers that are sent while they are made: one chunk at a time, so that the thread does other work in between. */

import { JSON_TYPE } from './envelope.ts';
import type { Reply } from './route.ts';

/** Pieces of a text. */
type Text = AsyncIterable<string> | Iterable<string>;

/** Characters of one chunk. */
const CHUNK_CHARACTERS = 64 * 1024;

/** The envelope around a text with the JSON of `data`. An error in the text breaks the connection off. */
export function streamed(data: AsyncIterable<string>, headers: Record<string, string>): Response {
  async function* text(): AsyncGenerator<string> {
    yield '{"code":200,"message":"Success","data":';
    yield* data;
    yield '}\n';
  }
  return streamedText(text(), { 'content-type': JSON_TYPE, ...headers });
}

async function* eachOf(text: Text): AsyncGenerator<string> {
  yield* text;
}

/** A text as it is made. When it fails in the middle, the connection breaks off. */
export function streamedText(text: Text, headers: Record<string, string>): Response {
  const parts = eachOf(text);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let chunk = '';
        let isOver = false;
        while (!isOver && chunk.length < CHUNK_CHARACTERS) {
          const next = await parts.next();
          isOver = next.done === true;
          if (next.done !== true) chunk += next.value;
        }
        if (chunk !== '') controller.enqueue(encoder.encode(chunk));
        if (isOver) controller.close();
        await new Promise((resolve) => setImmediate(resolve));
      },
      async cancel() {
        await parts.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers });
}

/** A longer list is written in turns; a shorter one takes no longer than any other answer. */
export const AT_ONCE_MAX = 100;

/** The list as the data of an answer. */
export function listReply(values: readonly unknown[]): Reply | Response {
  return values.length <= AT_ONCE_MAX ? { data: values } : streamed(listText(values), {});
}

/** A list as JSON, element by element. */
export async function* listText(values: Iterable<unknown>): AsyncGenerator<string> {
  let separator = '[';
  for (const value of values) {
    yield `${separator}${JSON.stringify(value)}`;
    separator = ',';
  }
  yield separator === '[' ? '[]' : ']';
}
