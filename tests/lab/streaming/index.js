'use strict';

// The streaming server's interface: a health path, a WebSocket that pings, and the public timeline out of Redis.
const http = require('http');
const { WebSocketServer } = require('ws');
const redis = require('redis');
const release = require('./release.json');

const unhealthy = release.flaws.includes('streaming_unhealthy');
const port = Number(process.env.PORT || 4000);
const bind = process.env.BIND || '127.0.0.1';
const suffix = (process.env.MASTODON_VERSION_PRERELEASE ? `-${process.env.MASTODON_VERSION_PRERELEASE}` : '')
  + (process.env.MASTODON_VERSION_METADATA ? `+${process.env.MASTODON_VERSION_METADATA}` : '');

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  const text = (status, body) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'private, no-store' });
    response.end(body);
  };
  if (path === '/api/v1/streaming/health') return unhealthy ? text(503, 'not yet') : text(200, 'OK');
  if (path === '/metrics') return text(200, `# TYPE connected_clients gauge\nconnected_clients ${sockets.clients.size}\n`);
  return text(404, 'Not found');
});

const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!request.url.startsWith('/api/v1/streaming')) return socket.destroy();
  return sockets.handleUpgrade(request, socket, head, (client) => {
    client.isAlive = true;
    client.on('pong', () => { client.isAlive = true; });
    client.on('error', () => client.terminate());
    client.ping();
  });
});

setInterval(() => {
  sockets.clients.forEach((client) => {
    if (!client.isAlive) return client.terminate();
    client.isAlive = false;
    return client.ping();
  });
}, Number(process.env.PING_SECONDS || 30) * 1000);

const subscriber = redis.createClient({
  url: process.env.REDIS_URL || `redis://${process.env.REDIS_HOST || 'redis'}:${process.env.REDIS_PORT || 6379}`,
  socket: { reconnectStrategy: () => 1000 },
});
let complained = false;
subscriber.on('error', (error) => {
  if (!complained) console.error(`redis: ${error.message}`);
  complained = true;
});
subscriber.on('ready', () => { complained = false; });
subscriber.connect()
  .then(() => subscriber.subscribe('timeline:public', (message) => {
    const parsed = JSON.parse(message);
    const line = JSON.stringify({ stream: ['public'], event: parsed.event, payload: parsed.payload });
    sockets.clients.forEach((client) => client.send(line));
  }))
  .catch((error) => console.error(`redis: ${error.message}`));

['SIGINT', 'SIGTERM'].forEach((signal) => process.on(signal, () => {
  sockets.clients.forEach((client) => client.close(1001));
  server.close(() => process.exit(0));
  setTimeout(() => process.exit(0), 500).unref();
}));

server.listen(port, bind, () => console.log(`Streaming API ${release.number}${suffix} now listening on ${bind}:${port}`));
