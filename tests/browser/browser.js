// Debian's Chromium, without any of the services it would look for.
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
  // A page that a test makes up comes from no network, and could load nothing from this machine.
  "--disable-features=LocalNetworkAccessChecks",
];

/** @param {{proxy?: string}} [options] */
export function launch({ proxy } = {}) {
  return chromium.launch({
    executablePath,
    args: FLAGS,
    // Loopback too: what is to be cut must come through it.
    ...(proxy && { proxy: { server: proxy, bypass: "<-loopback>" } }),
  });
}
