// An HTTP proxy between the browser and everything else, whose tunnels can be cut: what a train's tunnel does to a phone.
// Or they stay open and nothing comes through any more: what a router does that has dropped a mapping.
import http from "node:http";
import net from "node:net";

export async function startCuttingProxy() {
  const tunnels = new Set();
  const swallowed = new Set();
  let refusing = false;
  const server = http.createServer((request, response) => {
    const upstream = http.request(request.url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    request.pipe(upstream);
  });
  // WebSockets come as tunnels.
  server.on("connect", (request, socket) => {
    if (refusing) return socket.destroy();
    const [host, port] = request.url.split(":");
    const upstream = net.connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    const tunnel = { socket, upstream, swallowed: false };
    tunnels.add(tunnel);
    for (const end of [socket, upstream]) {
      end.on("error", () => {});
      end.on("close", () => {
        tunnels.delete(tunnel);
        if (tunnel.swallowed) return;
        socket.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** How many tunnels are open now. */
    tunnels: () => tunnels.size,
    /** Cuts every tunnel without a word and lets none through until `restore`. */
    cut() {
      refusing = true;
      for (const { socket, upstream } of tunnels) {
        socket.resetAndDestroy();
        upstream.destroy();
      }
    },
    /** Swallows what goes through every tunnel that is open now, both ways, and closes none. New ones work. */
    swallow() {
      for (const tunnel of tunnels) {
        const { socket, upstream } = tunnel;
        // Neither end learns what becomes of the other.
        tunnel.swallowed = true;
        swallowed.add(tunnel);
        upstream.unpipe(socket);
        socket.unpipe(upstream);
        socket.resume();
        upstream.resume();
      }
    },
    restore() {
      refusing = false;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
        for (const { socket, upstream } of [...tunnels, ...swallowed]) {
          socket.destroy();
          upstream.destroy();
        }
      }),
  };
}
