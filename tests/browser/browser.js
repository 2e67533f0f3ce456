// Debian's Chromium, without the services it would contact.
import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";

const executablePath = execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A page that a test fulfils has no network address, and Chromium would block its requests to this machine.
  "--disable-features=LocalNetworkAccessChecks",
];

/** @param {{proxy?: string}} [options] */
export function launch({ proxy } = {}) {
  return chromium.launch({
    executablePath,
    args: FLAGS,
    // Loopback too: connections to be cut must go through the proxy.
    ...(proxy && { proxy: { server: proxy, bypass: "<-loopback>" } }),
  });
}
