/** Preload: `typescript` is version 5, whose API openapi-typescript prints with. The project's own version has no such API. */

import { registerHooks } from 'node:module';

registerHooks({
  resolve: (name, context, next) => next(name === 'typescript' ? 'typescript-5' : name, context),
});
