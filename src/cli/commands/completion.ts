/** `completion`: prints the completion script of a shell. */

import type { Command } from '../command.ts';
import { SCRIPTS } from '../completion/scripts.ts';
import { usageFailure } from '../failure.ts';
import { hint } from '../suggest.ts';
import { refuseSurplus } from './common.ts';

const SHELLS = Object.keys(SCRIPTS);

export const COMPLETION_COMMANDS: readonly Command[] = [
  {
    name: 'completion',
    usage: SHELLS.join('|'),
    summary: 'prints a script that completes commands, options, endpoints and keys',
    examples: [
      'completion bash > ~/.local/share/bash-completion/completions/fluxmq',
      'completion fish > ~/.config/fish/completions/fluxmq.fish',
    ],
    options: [],
    words: ['shell'],
    connects: false,
    run: async ({ words, terminal }) => {
      const [shell, ...surplus] = words;
      refuseSurplus(surplus);
      if (shell === undefined) throw usageFailure(`which shell? One of ${SHELLS.join(', ')}`);
      const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
      if (script === undefined) throw usageFailure(`unknown shell: ${shell}${hint(shell, SHELLS)}; one of ${SHELLS.join(', ')}`);
      terminal.out(script.trimEnd());
    },
  },
];
