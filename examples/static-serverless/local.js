// Serves the pages and the function on this machine, as a platform would.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { handle } from './api/shop.js';

const { SHOP_URL, PORT = '8000' } = process.env;
const PAGES = { '/': 'index.html', '/order.html': 'order.html' };

const server = createServer(async (incoming, outgoing) => {
  let response;
  try {
    response = await answer(incoming);
  } catch (error) {
    console.error(error);
    response = new Response('failed', { status: 500 });
  }
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
});

async function answer(incoming) {
  const url = new URL(incoming.url, SHOP_URL);
  const page = PAGES[url.pathname];
  if (page) {
    const html = await readFile(new URL(`public/${page}`, import.meta.url));
    return new Response(html, { headers: { 'content-type': 'text/html' } });
  }
  const { method, headers } = incoming;
  const body = method === 'GET' || method === 'HEAD' ? undefined : Readable.toWeb(incoming);
  return handle(new Request(url, { method, headers, body, duplex: 'half' }));
}

server.listen(Number(PORT), '127.0.0.1', () => console.log(`the shop listens on port ${PORT}; open ${SHOP_URL}`));
