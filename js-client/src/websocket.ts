/** WebSocket transport: one socket, and what its close codes mean. Never reconnects. */
import { parseStatus } from './status.ts';
import { LONGEST_WAIT_MS, type Ending, type Transport } from './transport.ts';

/** A socket that has said nothing by then is given up: some proxies accept an upgrade and swallow every frame. */
const FIRST_MESSAGE_WITHIN_MS = 10_000;
/**
 * From then on the gateway says something every 30 s (±10 %), if only `{}`. A network that dropped the connection tells
 * nobody, and a script sees no pings, so a longer silence is the only sign.
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
        if (status) listener.heard(status);
      };
      socket.onclose = ({ code, reason }) => end(endingOf(code, reason));
    } catch {
      // A page's policy can forbid sockets; the caller learns it like any other failure.
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
 * 44xx never retry · 4429, 1012 and 45xx retry, after `retry_after_ms=N` where the reason has it · 4508 now ·
 * anything else is the network's doing.
 */
export function endingOf(code: number, reason: string): Ending {
  if (code >= 4400 && code < 4500 && code !== 4429) return { kind: 'fatal', code };
  const reached = code === 1000 || code === 1012 || code >= 4000;
  const asked = /retry_after_ms=(\d+)/.exec(reason);
  if (code === 4508) return { kind: 'retry', afterMs: 0, reached };
  if (reached && asked) return { kind: 'retry', afterMs: Math.min(Number(asked[1]), LONGEST_WAIT_MS), reached };
  return { kind: 'retry', reached };
}
