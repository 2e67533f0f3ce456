/** A controlled socket, for what a server cannot show: when it is closed, and by which side. */
export class FakeSocket {
  /** Every socket ever opened, in order. */
  static opened: FakeSocket[] = [];
  static get newest(): FakeSocket {
    return FakeSocket.opened.at(-1)!;
  }

  readyState = 0;
  sent: string[] = [];
  closed = false;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly url: string;
  readonly protocols: string[];

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.opened.push(this);
  }

  /** The gateway sends a message. */
  say(data: string): void {
    this.readyState = 1;
    this.onmessage?.({ data });
  }

  /** The gateway or the network closes it. */
  drop(code: number, reason = ''): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  send(data: string): void {
    this.sent.push(data);
  }

  close(): void {
    this.closed = true;
    this.readyState = 2;
  }
}
