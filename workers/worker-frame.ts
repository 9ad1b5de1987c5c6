/** The common part of every mesh worker: its link to main, its peers, its end on a fault, and returned messages of shared groups. */

import type { MessagePort } from 'node:worker_threads';
import { completeBuffers } from '../src/internals/buffer-methods.ts';
import { FluxError } from '../src/kernel/errors.ts';
import { loopDelay } from '../src/metrics/loop-delay.ts';
import type { WorkerBoot } from '../src/thread/commands.ts';
import { startHeartbeat } from '../src/thread/heartbeat.ts';
import { type CommandHandlers, HostLink } from '../src/thread/host-link.ts';
import type { Mesh } from './shared/mesh/mesh.ts';
import type { PeerLink } from './shared/mesh/peer-link.ts';
import { fromWireMessage, type Message, toGivenOn } from './shared/messages/message.ts';
import type { Router } from './shared/routing/router.ts';
import { groupOf } from './shared/routing/share-group.ts';
import type { Confirmation } from './shared/routing/shared-confirmations.ts';
import type { SharedReader } from './shared/routing/shared-reports.ts';
import type { Control } from './shared/wire/controls.ts';
import { UsageMeter } from './usage.ts';

export interface WorkerFrame {
  /** Ends the thread; main replaces it. */
  end(reason: string): void;
  readonly link: HostLink;
  /** Returns a message whose shared groups no longer have a member here. */
  bounce(peer: PeerLink, namespace: string, message: Message, groups: string[]): void;
  /** Gives a linked relay what waits for it; stops waiting for one that does not come. */
  onRelay(state: PeerLink | 'away' | 'missed'): void;
  /** Offers a returned message to another member. @returns the confirmation that its publisher must wait for; null: none */
  onBounce(peer: PeerLink, control: Extract<Control, { t: 'bounce' }>): Confirmation | null;
}

/** Starts to serve main. @throws FluxError `internal` when not run as a worker */
export function startWorker(
  boot: WorkerBoot,
  port: MessagePort | null,
  mesh: Mesh,
  router: Router,
  handlers: CommandHandlers,
): WorkerFrame {
  if (port === null) throw new FluxError('internal', 'This file must run as a worker thread of fluxmq');
  completeBuffers();
  startHeartbeat(boot.heartbeat);
  const usage = new UsageMeter();
  port.on('message', () => loopDelay.touch());
  const link = new HostLink(port, {
    'thread.usage': () => usage.read(),
    'peer.add': async ({ peer, role, port: channel }) => {
      await mesh.addPeer(peer, role, channel);
      return null;
    },
    'peer.remove': async ({ peer }) => {
      await mesh.removePeer(peer);
      // Main removes a peer from the others once they know where its sessions are now.
      if (boot.role === 'session') await mesh.fence(mesh.links.keys());
      return null;
    },
    ...handlers,
  });
  process.on('uncaughtException', (error) => {
    link.emit({ event: 'fault', message: `${boot.role} worker ${boot.peer}: ${error.message}`, stack: error.stack ?? null });
    process.exit(1);
  });
  return {
    link,
    end(reason) {
      link.emit({ event: 'fault', message: reason, stack: null });
      process.exit(1);
    },
    bounce(peer, namespace, message, groups) {
      for (const group of groups) peer.control({ t: 'bounce', namespace, group, message: toGivenOn(message) });
    },
    onRelay(state) {
      const { crossing } = router;
      if (crossing === null) return;
      router.relayPeer = typeof state === 'string' ? null : state;
      router.reports.reader = typeof state === 'string' ? null : readerOf(state);
      if (state === 'away') crossing.isAway = true;
      else if (state !== 'missed') crossing.resend(state);
      else {
        const unconfirmed = crossing.giveUp();
        link.logger.error('Cluster: no relay runs: this thread works without the other nodes', { unconfirmed });
      }
    },
    onBounce(peer, control) {
      return router.bounced(mesh.namespace(control.namespace), groupOf(control.group), fromWireMessage(control.message), peer);
    },
  };
}

function readerOf(relay: PeerLink): SharedReader {
  return {
    settled: (isHeld, lines) => relay.control({ t: 'shared-settled', isHeld, lines }),
    named: (request, names) => relay.control({ t: 'shared-named', request, names }),
  };
}
