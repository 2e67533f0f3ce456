/** The WebSocket transport: one socket and the meaning of its close codes. Never reconnects. */
import { parseStatus } from './status.ts';
import { LONGEST_WAIT_MS, type Ending, type Transport } from './transport.ts';

/** Deadline for the first message: some proxies accept an upgrade and drop every frame. */
const FIRST_MESSAGE_WITHIN_MS = 10_000;
/**
 * After that the gateway sends at least `{}` every 30 s (±10 %). A lost connection raises no event, and scripts do not
 * see pings, so a longer silence is the only sign.
 */
const SILENT_FOR_MS = 45_000;

export const websocket: Transport = {
  open({ url, token }, listener, environment) {
    let over = false;
    let socket: WebSocket | undefined;
    const end = (ending: Ending): void => {
      if (over) return;
      close();
      listener.ended(ending);
    };
    const close = (): void => {
      over = true;
      environment.clearTimeout(timer);
      socket?.close(1000);
    };
    let begun = false;
    let timer = environment.setTimeout(() => end(unreached), FIRST_MESSAGE_WITHIN_MS);

    try {
      socket = new environment.WebSocket(url.replace(/^http/, 'ws'), ['chasqui.v1', `chasqui.token.${token}`]);
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        const status = typeof data === 'string' ? parseStatus(data) : undefined;
        begun ||= !!status;
        if (over || !begun) return;
        environment.clearTimeout(timer);
        timer = environment.setTimeout(() => end(silent), SILENT_FOR_MS);
        if (status) listener.received(status);
      };
      socket.onclose = ({ code, reason }) => end(endingOf(code, reason));
    } catch {
      // A page's policy can forbid sockets; report it like any other failure.
      queueMicrotask(() => end(unreached));
    }

    return {
      seen(version) {
        if (socket?.readyState === 1) socket.send(`{"seen":${version}}`);
      },
      close,
    };
  },
};

const unreached: Ending = { kind: 'retry', reached: false };
const silent: Ending = { kind: 'retry', afterMs: 0, reached: false, silent: true };

/**
 * 44xx: never retry · 4429, 1012 and 45xx: retry, after `retry_after_ms=N` where the reason has it · 4508: now ·
 * other codes: the network closed the connection.
 */
export function endingOf(code: number, reason: string): Ending {
  if (code >= 4400 && code < 4500 && code !== 4429) return { kind: 'fatal', code };
  const reached = code === 1000 || code === 1012 || code >= 4000;
  const asked = /retry_after_ms=(\d+)/.exec(reason);
  if (code === 4508) return { kind: 'retry', afterMs: 0, reached };
  if (reached && asked) return { kind: 'retry', afterMs: Math.min(Number(asked[1]), LONGEST_WAIT_MS), reached };
  return { kind: 'retry', reached };
}
