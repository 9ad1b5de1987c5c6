/** Runs aedes on a port: `node aedes-server.ts PORT auth|open`. */

import net from 'node:net';
import { Aedes } from 'aedes';
import { LOGIN } from '../scenario.ts';

const [port, access] = process.argv.slice(2);
const broker = await Aedes.createBroker();
if (access === 'auth') {
  broker.authenticate = (_client, username, password, done) =>
    done(null, username === LOGIN.username && String(password) === LOGIN.password);
  broker.authorizePublish = (_client, packet, done) => done(packet.topic.startsWith('bench/') ? null : new Error('denied'));
  broker.authorizeSubscribe = (_client, subscription, done) => done(null, subscription.topic.startsWith('bench/') ? subscription : null);
}
net.createServer({ noDelay: false }, broker.handle).listen({ port: Number(port), host: '0.0.0.0', backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
