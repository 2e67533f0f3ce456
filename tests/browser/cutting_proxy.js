// An HTTP proxy between the browser and everything else. Its tunnels can be cut, like a phone's connection in a tunnel, or stay
// open without passing data, like a router that has dropped a mapping.
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
  // Browsers send WebSockets through CONNECT tunnels.
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
    /** The number of open tunnels. */
    tunnels: () => tunnels.size,
    /** Resets every tunnel and refuses new ones until `restore`. */
    cut() {
      refusing = true;
      for (const { socket, upstream } of tunnels) {
        socket.resetAndDestroy();
        upstream.destroy();
      }
    },
    /** Drops all data in every open tunnel, both ways, without closing it. New tunnels work. */
    swallow() {
      for (const tunnel of tunnels) {
        const { socket, upstream } = tunnel;
        // Neither end sees the other close.
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
