/** Certificates that may have signed a server's. */

import { readFile } from 'node:fs/promises';
import { messageOf } from '../../../src/kernel/errors.ts';

/** PEM text, or the file with it. @throws Error when the file cannot be read */
export async function readTrustedPem(ca: string): Promise<string> {
  if (ca.includes('-----BEGIN')) return ca;
  try {
    return await readFile(ca, 'utf8');
  } catch (error) {
    throw new Error(`the certificates of ca cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
