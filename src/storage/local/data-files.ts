/** Checks the files of a data folder before a start uses them. Damaged or missing files are reported, and moved aside only on request. */

import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { isFolderInUse, lockFolder } from './folder-lock.ts';

const CONFIG = 'config.db';
const DOCUMENTS = 'documents.db';
/** Name of a former `config.db`, with its time. */
const ASIDE = /^config\.db\.(?:taken|discarded)-(\d{4}-[\dTZ-]+)$/;
/** The content of each file, for messages. */
const FILES: Readonly<Record<string, string>> = {
  'messages.db': 'sessions and retained messages',
  [CONFIG]: 'endpoints and their history',
  [DOCUMENTS]: 'users and their history',
};
/** File with the names of the files that the folder has had. */
const MARKER = 'files.json';
const COMPANIONS = ['', '-wal', '-shm', '-journal'];
const PRIVATE = 0o600;
/** The start does not read a larger file whole. */
const CHECKED_BYTES = 64 * 1024 * 1024;
const LOCKED_MS = 500;

/**
 * Checks the files of the folder and gives them mode 0600. With `isQuarantine`, moves damaged files aside.
 * @returns one text for each file that was moved or is missing
 * @throws FluxError `unavailable` naming the file, its damage and the command to use; or when another broker uses the folder
 */
export function checkDataFiles(dataPath: string, isQuarantine: boolean): string[] {
  if (!existsSync(dataPath)) return [];
  const lock = lockFolder(dataPath);
  try {
    const had = readMarker(dataPath);
    const done: string[] = [];
    for (const [name, content] of Object.entries(FILES)) {
      const path = join(dataPath, name);
      const problem = problemOf(path, had.includes(name));
      if (problem === null) continue;
      if (!isQuarantine) throw new FluxError('unavailable', describeProblem(path, problem, content));
      done.push(quarantine(path, problem, content));
    }
    makePrivate(dataPath);
    return done;
  } finally {
    lock.release();
  }
}

/** The faults of the files in a data folder. */
export interface FileFindings {
  /** each would end a start */
  problems: string[];
  warnings: string[];
}

/** Judges the files as `checkDataFiles` does, but writes nothing and names every problem. Never fails. */
export function judgeDataFiles(dataPath: string): FileFindings {
  if (!existsSync(dataPath)) return { problems: [], warnings: [] };
  try {
    if (isFolderInUse(dataPath))
      return { problems: [], warnings: [`${dataPath} is in use by a running fluxmq: its files were not checked`] };
    const had = readMarker(dataPath);
    const problems = Object.entries(FILES).flatMap(([name, content]) => {
      const path = join(dataPath, name);
      const problem = problemOf(path, had.includes(name), true);
      return problem === null ? [] : [describeProblem(path, problem, content)];
    });
    return { problems, warnings: [] };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { problems: [], warnings: [`the files of ${dataPath} could not be checked: ${why}`] };
  }
}

function describeProblem(path: string, problem: string, content: string): string {
  return `${path} ${problem}: put it back from a backup, or begin anew without its ${content}: ./fluxmq start --quarantine`;
}

/** Records which files the folder has. The next start can then tell a file that disappeared from one that never existed. */
export function markDataFiles(dataPath: string): void {
  const names = Object.keys(FILES).filter((name) => existsSync(join(dataPath, name)));
  const had = readMarker(dataPath);
  if (names.every((name) => had.includes(name))) return;
  try {
    writeMarker(dataPath, [...new Set([...had, ...names])]);
  } catch {
    // The disk may be full: the next start records the files.
  }
}

/** Path of the LOCAL store's file in this folder; null when there is none. */
export function configFileIn(dataPath: string): string | null {
  const path = join(dataPath, CONFIG);
  return existsSync(path) ? path : null;
}

/**
 * Moves `config.db` aside, with the `documents.db` beside it; no process may have the file open. The marker forgets the file first: after a crash in between, the next start
 * finds the file instead of reporting it missing.
 * @param why part of the file's new name, before the time
 * @returns the new path
 * @throws Error of the file system
 */
export function setConfigAside(dataPath: string, why: 'taken' | 'discarded'): string {
  writeMarker(
    dataPath,
    readMarker(dataPath).filter((name) => name !== CONFIG && name !== DOCUMENTS),
  );
  if (existsSync(join(dataPath, DOCUMENTS))) moveAside(join(dataPath, DOCUMENTS), why);
  return moveAside(join(dataPath, CONFIG), why);
}

/** The newest file that setConfigAside left in the folder; null when there is none. */
export function configSetAside(dataPath: string): string | null {
  const asides = readdirSync(dataPath).filter((name) => ASIDE.test(name));
  const timeOf = (name: string): string => ASIDE.exec(name)?.[1] ?? '';
  const [newest] = asides.sort((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1));
  return newest === undefined ? null : join(dataPath, newest);
}

/** Replaces the marker file whole or not at all. */
function writeMarker(dataPath: string, names: readonly string[]): void {
  const path = join(dataPath, MARKER);
  writeFileSync(`${path}.new`, JSON.stringify(names), { mode: PRIVATE });
  renameSync(`${path}.new`, path);
}

function moveAside(path: string, why: string): string {
  const to = `${path}.${why}-${new Date(wallNow()).toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const companion of COMPANIONS) if (existsSync(path + companion)) renameSync(path + companion, to + companion);
  return to;
}

function readMarker(dataPath: string): string[] {
  try {
    const names: unknown = JSON.parse(readFileSync(join(dataPath, MARKER), 'utf8'));
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
  } catch {
    return [];
  }
}

/** Null when the file is sound, or has never existed. @param readonly writes nothing: the log of a crash stays */
function problemOf(path: string, hasBeen: boolean, readonly = false): string | null {
  const about = statSync(path, { throwIfNoEntry: false });
  if (about === undefined) return hasBeen ? 'is gone' : null;
  if (!about.isFile()) return 'is no file';
  if (about.size === 0) return hasBeen && (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0 ? 'is empty' : null;
  const unneeded = readonly ? ['-wal', '-shm'].map((end) => path + end).filter((companion) => !existsSync(companion)) : [];
  let database: Database.Database | null = null;
  try {
    database = new Database(path, { timeout: LOCKED_MS, readonly });
    database.pragma('schema_version');
    if (about.size > CHECKED_BYTES) return null;
    const [found] = database.pragma('quick_check(1)') as { quick_check: string }[];
    return found?.quick_check === 'ok' ? null : `is damaged (${found?.quick_check.split('\n')[0]})`;
  } catch (error) {
    const isDamaged = error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code);
    // Other errors are reported by the code that opens the file for use.
    return isDamaged ? `is damaged (${error.message})` : null;
  } finally {
    database?.close();
    for (const companion of unneeded) rmSync(companion, { force: true });
  }
}

function quarantine(path: string, problem: string, content: string): string {
  if (problem === 'is gone') return `${path} is gone: its ${content} begin anew`;
  return `${path} ${problem}: it was moved to ${moveAside(path, 'damaged')}, and its ${content} begin anew`;
}

/** Restricts the files to their owner: they hold password hashes and messages. Earlier versions created them with another mode. */
function makePrivate(dataPath: string): void {
  for (const name of [...Object.keys(FILES), 'lock.db', 'last-known.json']) {
    for (const companion of COMPANIONS) {
      try {
        chmodSync(join(dataPath, name + companion), PRIVATE);
      } catch {
        // The file is missing, or belongs to another user.
      }
    }
  }
}
