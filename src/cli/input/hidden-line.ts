/** Reads one line from a terminal without showing it. */

import { StringDecoder } from 'node:string_decoder';

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const CTRL_U = '\u0015';
const BACKSPACES = ['\u007f', '\b'];

/** The signal that Ctrl-C would have sent. */
export class Interrupted extends Error {}

interface HiddenInput {
  setRawMode(isRaw: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  once(event: 'end', listener: () => void): unknown;
  off(event: 'data' | 'end', listener: (bytes: Buffer) => void): unknown;
  unshift(bytes: Buffer): void;
}

/**
 * The line without its newline; what stands behind it stays in the input. Backspace and Ctrl-U work as usual.
 * @throws Interrupted at Ctrl-C
 */
export function readHiddenLine(input: HiddenInput, write: (text: string) => void, question: string): Promise<string> {
  write(question);
  const decoder = new StringDecoder('utf8');
  let line: string[] = [];
  input.setRawMode(true);
  return new Promise<string>((resolve, reject) => {
    const end = (settle: () => void, rest = '') => {
      input.off('data', read);
      input.off('end', ended);
      input.setRawMode(false);
      input.pause();
      if (rest !== '') input.unshift(Buffer.from(rest));
      write('\n');
      settle();
    };
    const finish = (rest?: string) => end(() => resolve(line.join('')), rest);
    const ended = () => finish();
    const read = (bytes: Buffer) => {
      const characters = [...decoder.write(bytes)];
      for (const [index, character] of characters.entries()) {
        if (character === '\r' || character === '\n' || character === CTRL_D) return finish(characters.slice(index + 1).join(''));
        if (character === CTRL_C) return end(() => reject(new Interrupted('interrupted')));
        if (BACKSPACES.includes(character)) line.pop();
        else if (character === CTRL_U) line = [];
        else line.push(character);
      }
    };
    input.on('data', read);
    input.once('end', ended);
    input.resume();
  });
}
