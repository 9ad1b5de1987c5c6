/** Main's word that a worker has ended comes before its last ones are read: a session on its way is not lost, nor anything else that it had posted. */

import { expect, test } from 'vitest';
import type { Control } from '../../../workers/shared/wire/controls.ts';
import { joinMeshes, makeMesh } from './meshes.ts';

test.each([1, 1_000])('%i controls, posted before the end and not read yet', async (count) => {
  const here = makeMesh(1);
  const ending = makeMesh(2);
  await joinMeshes(here, ending);
  const heard: (number | 'removed')[] = [];
  here.hooks = {
    ...here.hooks,
    onControl: (_link, control: Control) => heard.push(control.t === 'stored' ? control.serial : -1),
    onPeerRemoved: () => heard.push('removed'),
  };
  for (let serial = 0; serial < count; serial++) ending.links.get(1)!.control({ t: 'stored', serial, count: 1 });
  ending.close();
  await here.removePeer(2);
  expect(heard).toEqual([...Array.from({ length: count }, (_, serial) => serial), 'removed']);
  here.close();
});
