/** A controlled clock: timers fire only when a test advances it. */
import type { Timer } from '../src/transport.ts';

export class Clock {
  now = 1_000_000;
  random = 0.5;
  private readonly timers: { run: () => void; at: number }[] = [];

  readonly setTimeout = (run: () => void, ms: number): Timer => {
    const timer = { run, at: this.now + ms };
    this.timers.push(timer);
    return timer as unknown as Timer;
  };

  readonly clearTimeout = (timer: Timer | undefined): void => {
    const index = this.timers.indexOf(timer as never);
    if (index >= 0) this.timers.splice(index, 1);
  };

  /** The pending timers, in milliseconds from now, soonest first. */
  get waits(): number[] {
    return this.timers.map(({ at }) => at - this.now).sort((a, b) => a - b);
  }

  /** Moves to the next timer and fires it. */
  step(): void {
    this.fire(this.waits[0]!);
  }

  /** Moves to the timer with this delay and fires only it. */
  fire(wait: number): void {
    const index = this.timers.findIndex(({ at }) => at - this.now === wait);
    const [next] = this.timers.splice(index, index < 0 ? 0 : 1);
    if (!next) throw new Error(`nothing waits ${wait} ms; waiting: ${this.waits.join(', ')}`);
    this.now = Math.max(this.now, next.at);
    next.run();
  }
}
