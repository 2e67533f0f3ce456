/** A real HTTP and WebSocket server in place of the gateway; each test sets its answers. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { until } from './until.ts';

export class Gateway {
  readonly url: string;
  /** Every accepted WebSocket, in order. */
  readonly sockets: WebSocket[] = [];
  /** Every upgrade request, accepted or not. */
  readonly upgrades: IncomingMessage[] = [];
  /** Every JSON request. */
  readonly requests: IncomingMessage[] = [];
  /** Messages of watchers, as text. */
  readonly received: string[] = [];
  /** Whether an upgrade is accepted; refused ones are cut off, as some proxies do. */
  acceptsSockets = true;
  onSocket: (socket: WebSocket) => void = () => undefined;
  onRequest: (request: IncomingMessage, response: ServerResponse) => void = () => undefined;
  readonly close: () => Promise<void>;

  static async start(): Promise<Gateway> {
    const http = createServer();
    await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
    return new Gateway(http);
  }

  private constructor(http: ReturnType<typeof createServer>) {
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const upgrader = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => (offered.has('chasqui.v1') ? 'chasqui.v1' : false),
    });
    http.on('upgrade', (request, stream, head) => {
      this.upgrades.push(request);
      if (!this.acceptsSockets) {
        stream.destroy();
        return;
      }
      upgrader.handleUpgrade(request, stream, head, (socket) => {
        this.sockets.push(socket);
        socket.on('message', (data) => this.received.push(String(data)));
        this.onSocket(socket);
      });
    });
    http.on('request', (request, response) => {
      this.requests.push(request);
      this.onRequest(request, response);
    });
    this.close = () =>
      new Promise((done) => {
        for (const socket of upgrader.clients) socket.terminate();
        http.close(() => done());
        http.closeAllConnections();
      });
  }

  async socket(index: number): Promise<WebSocket> {
    await until(`socket ${index}`, () => this.sockets.length > index);
    return this.sockets[index]!;
  }
}
