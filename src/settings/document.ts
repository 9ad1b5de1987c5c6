/** Reads YAML with the line of every value, and fills in `${NAME}` before the values get their types. */

import { type Document, isAlias, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar, visit } from 'yaml';
import { type Issue, messageOf } from '../kernel/errors.ts';
import { isTextKey, toPath, toSegments, toTyped } from './paths.ts';
import { fillIn, hideBraces, showBraces } from './variables.ts';

export interface ConfigDocument {
  /** plain values; an empty file is `{}` */
  value: unknown;
  issues: Issue[];
  /** 1-based line of a path, or of its nearest parent in the text; undefined without one */
  lineOf(path: string): number | undefined;
}

/**
 * Parses one YAML document; never throws, problems of syntax and of variables are in `issues`.
 * @param place path of the document within a larger configuration: `['endpoints', '0']`
 */
export function readDocument(text: string, env: NodeJS.ProcessEnv, place: readonly string[] = []): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(hideBraces(text.replace(/^\ufeff/, '')), { lineCounter: lines, prettyErrors: false, merge: true });
  const issues: Issue[] = document.errors.map((error) => ({
    path: '',
    message: error.code === 'MULTIPLE_DOCS' ? 'a second YAML document begins here (---): give one document' : firstLine(error.message),
    line: lines.linePos(error.pos[0]).line,
  }));
  if (issues.length > 0) return { value: {}, issues, lineOf: () => undefined };
  visit(document, {
    Scalar(key, node, ancestors) {
      if (typeof node.value === 'string') node.value = showBraces(node.value);
      if (key === 'key') return;
      const segments = segmentsOf(ancestors, key);
      const filled = typeScalar(node, [...place, ...segments], env);
      for (const message of filled.problems)
        issues.push({ path: toPath(segments), message, line: lines.linePos(node.range?.[0] ?? 0).line });
      node.value = filled.value;
    },
  });
  const lineOf = (path: string) => findLine(document, lines, path);
  try {
    return { value: document.toJS({ maxAliasCount: 100 }) ?? {}, issues, lineOf };
  } catch (error) {
    // too many aliases, or one without an anchor
    issues.push({ path: '', message: firstLine(messageOf(error)) });
    return { value: {}, issues, lineOf };
  }
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}

/** A scalar's value with its variables filled in. A plain (unquoted) result gets the type that YAML would give it. */
function typeScalar(node: Scalar, segments: readonly string[], env: NodeJS.ProcessEnv): { value: unknown; problems: string[] } {
  if (typeof node.value === 'string') {
    const filled = fillIn(node.value, segments, env);
    const isPlain = node.type === 'PLAIN' && filled.text !== node.value && !isTextKey(segments);
    return { value: isPlain ? toTyped(filled.text) : filled.text, problems: filled.problems };
  }
  const asWritten = isTextKey(segments) && node.value !== null && node.source !== undefined;
  return { value: asWritten ? node.source : node.value, problems: [] };
}

function segmentsOf(ancestors: readonly unknown[], key: unknown): string[] {
  const segments: string[] = [];
  ancestors.forEach((ancestor, index) => {
    if (isPair(ancestor)) segments.push(String(isScalar(ancestor.key) ? ancestor.key.value : ancestor.key));
    else if (isSeq(ancestor)) {
      const child = ancestors[index + 1];
      segments.push(String(child === undefined ? key : ancestor.items.indexOf(child)));
    }
  });
  return segments;
}

function findLine(document: Document, lines: LineCounter, path: string): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const segment of toSegments(path)) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === segment);
      if (pair === undefined) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(segment)] as Node | undefined;
      if (item === undefined) break;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else break;
  }
  return offset === undefined ? undefined : lines.linePos(offset).line;
}
