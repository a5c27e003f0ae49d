/** Types of phantomlink-client.js. */

/** What only some states have can be asked for in all: `status.meaning ?? ""`. */
export type Status =
  | { state: "connecting"; attempt: number; code?: never; meaning?: never; reason?: never }
  | { state: "open"; code?: never; meaning?: never; reason?: never }
  /** The connection was lost; the next attempt is in `seconds`. */
  | { state: "waiting"; code: number; meaning: string; reason: string; seconds: number; attempt: number }
  /** Trying again is of no use. `code` is a close code or an HTTP status. */
  | { state: "ended"; code: number; meaning: string; reason?: string };

export interface Options {
  onMessage: (message: any) => void;
  onStatus?: (status: Status) => void;
  token?: string | null;
  subprotocols?: string[];
  probe?: string | null;
  /** Ask the same server again when the session has moved, in place of following. */
  stays?: boolean;
  WebSocket?: typeof WebSocket;
  fetch?: typeof fetch;
  random?: () => number;
}

export interface Prediction {
  packet_id: number;
  loop?: number;
  sequence_number?: number;
  vx?: number | null;
  vy?: number | null;
  x?: number | null;
  y?: number | null;
  decoder?: string;
  received_at?: number;
  sent_at?: number;
}

export interface ViewQuery {
  /** Recording time of one column, ms. */
  column_ms?: number;
  /** Rows of the units, as `0-63`. */
  units?: string;
  trial_id?: number;
  target_id?: number;
  reach_id?: number;
}

export interface StreamQuery {
  trial_id?: number;
  target_id?: number;
  reach_id?: number;
  scores?: 1;
  dataset?: string;
  bin_size_ms?: number;
}

export class Connection {
  constructor(url: string, options: Options);
  readonly status: Status;
  readonly url: string;
  retryNow(): void;
  send(message: unknown): boolean;
  predict(prediction: Prediction): boolean;
  close(): void;
}

export const CLOSE_CODES: Record<number, { again: boolean; meaning: string }>;
export function judge(code: number): { again: boolean; meaning: string };
export function secondsUntilRetry(
  nFailed: number,
  retryAfter?: number | null,
  random?: () => number,
): number;
/** Binary data are views into `buffer`. */
export function decodeMessagePack(buffer: ArrayBuffer): any;
/** An array, or a typed one where packets are compact: what both of them can. */
export interface SpikeCounts extends ArrayLike<number>, Iterable<number> {
  forEach(call: (count: number, unit: number) => void): void;
  reduce<T>(combine: (before: T, count: number, unit: number) => T, first: T): T;
}
export function spikeCounts(spikes: any): SpikeCounts;
export function movedTo(reason: string, url: string): string;
export function socketUrl(base: string, path: string, query?: Record<string, unknown>): string;
export function connectView(
  base: string,
  code: string,
  options: Options & { query?: ViewQuery },
): Connection;
export function connectSessions(base: string, options: Options): Connection;
export function connectStream(
  base: string,
  code: string,
  options: Options & { query?: StreamQuery },
): Connection;
