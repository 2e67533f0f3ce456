// Starts the demo from its command line, on free ports, and reads its addresses from its output.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FREE = "127.0.0.1:0";
const START_DEADLINE_MS = 120_000;

/** @returns {Promise<{shop: string, gateway: string, sandbox: string, stop: () => Promise<void>}>} */
export async function startDemo() {
  const child = spawn(
    "cargo",
    ["run", "--quiet", "-p", "demo", "--", "--listen", FREE, "--sandbox-listen", FREE, "--shop-listen", FREE],
    // A separate process group: cargo does not forward signals to the program.
    { cwd: ROOT, detached: true, stdio: ["ignore", "pipe", "pipe"] },
  );
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const urls = await readUrls(child);
  const stop = async () => {
    if (child.exitCode === null) process.kill(-child.pid, "SIGTERM");
    await exited;
  };
  return { ...urls, stop };
}

function readUrls(child) {
  return new Promise((resolve, reject) => {
    let printed = "";
    const fail = (why) => reject(new Error(`the demo ${why}; it printed:\n${printed}`));
    const deadline = setTimeout(() => fail("did not start in time"), START_DEADLINE_MS);
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stderr.on("data", (data) => (printed += data));
    child.stdout.on("data", (data) => {
      printed += data;
      const url = (name) => printed.match(new RegExp(`^\\s*${name}\\s+(http://\\S+)$`, "m"))?.[1];
      const urls = { shop: url("shop"), gateway: url("gateway"), sandbox: url("sandbox") };
      if (Object.values(urls).every(Boolean)) {
        clearTimeout(deadline);
        resolve(urls);
      }
    });
  });
}
