/** A backtest at work, and those that ended in this session, by the fingerprint of the rule. */
import { ApiError, send } from '$lib/api/client';

import type { Report } from './model';

const ended = $state<{ by: Record<string, Report> }>({ by: {} });

/** The report of a backtest of just this rule in this session. */
export const triedOf = (fingerprint: string | undefined): Report | undefined => (fingerprint ? ended.by[fingerprint] : undefined);

export class Backtest {
  running = $state(false);
  share = $state(0);
  rows = $state(0);
  error = $state.raw<unknown>(null);
  #stop: AbortController | null = null;

  /** Run it; gives the report, null where somebody stopped it or it failed (see `error`). */
  async run(body: string, since: string, until: string): Promise<Report | null> {
    this.stop();
    const stop = (this.#stop = new AbortController());
    Object.assign(this, { running: true, share: 0, rows: 0, error: null });
    try {
      const answer = await send('POST', '/api/v1/backtests/run', { body: { body, since, until, limit: 2000 }, signal: stop.signal });
      const report = await this.#read(answer);
      for (const fingerprint of Object.values(report.fingerprints)) ended.by[fingerprint] = report;
      return report;
    } catch (error) {
      if (!stop.signal.aborted) this.error = error;
      return null;
    } finally {
      if (this.#stop === stop) this.running = false;
    }
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.running = false;
  }

  async #read(answer: Response): Promise<Report> {
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      rest += value ?? '';
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const said = JSON.parse(line) as { progress?: { share: number; rows: number }; report?: Report; error?: { code: string; message: string; where?: string; hint?: string } };
        if (said.progress) [this.share, this.rows] = [said.progress.share, said.progress.rows];
        if (said.error) throw new ApiError(said.error.code, said.error.message, 400, said.error.where, said.error.hint);
        if (said.report) return said.report;
      }
      if (done) throw new ApiError('offline', 'the line broke', 0);
    }
  }
}
