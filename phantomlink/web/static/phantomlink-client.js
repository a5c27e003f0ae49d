/**
 * A client of PhantomLink for browsers and Node (20 with a WebSocket of its own, or 22): streams,
 * views, predictions, and coming back after a loss by the rules of the close codes. It has no
 * dependencies and touches no page.
 *
 * In a browser a refused upgrade looks like a lost network, so after one the status is asked for
 * over HTTP: what is told is then what the server said.
 */

const FIRST_WAIT_SECONDS = 0.5;
const LONGEST_WAIT_SECONDS = 30;
const LONGEST_ASKED_SECONDS = 60;
const VIEW_PROTOCOL = "phantomlink.view.v1";
const STREAM_PROTOCOL = "phantomlink.v1.msgpack";

/**
 * Close codes: whether to connect again, and what they mean.
 * @type {Record<number, {again: boolean, meaning: string}>}
 */
export const CLOSE_CODES = {
  1000: { again: false, meaning: "the recording ended, or the session was stopped" },
  1001: { again: true, meaning: "the server is going away" },
  1006: { again: true, meaning: "the connection broke" },
  1008: { again: false, meaning: "not allowed" },
  1009: { again: false, meaning: "a message that was sent is too big" },
  1011: { again: true, meaning: "an error of the server: its log has it" },
  1012: { again: true, meaning: "the server restarts" },
  1013: { again: true, meaning: "the server asks to try again later" },
  4408: { again: true, meaning: "this client read too slowly, or was silent" },
  4410: { again: false, meaning: "the session expired or was deleted" },
  4411: { again: true, meaning: "this node may no longer serve the session" },
  4412: { again: true, meaning: "the session has moved" },
};

/**
 * What a close or a refusal means for the connection.
 * @param {number} code close code, or HTTP status of a refused upgrade
 * @returns {{again: boolean, meaning: string}}
 */
export function judge(code) {
  if (code in CLOSE_CODES) return CLOSE_CODES[code];
  if (code === 401) return { again: false, meaning: "the server wants a token" };
  if (code === 403) return { again: false, meaning: "the server does not allow it" };
  if (code === 404) return { again: false, meaning: "there is no such session" };
  if (code === 429) return { again: true, meaning: "too many requests or connections" };
  if (code === 503) return { again: true, meaning: "the server has no room, or is not ready" };
  if (code >= 400 && code < 500) return { again: false, meaning: `refused with status ${code}` };
  return { again: true, meaning: `closed with code ${code}` };
}

/**
 * Seconds until the next attempt: 0.5 doubling to 30, less up to half of it by chance, so that many
 * clients of a server that restarts do not come back at once.
 * @param {number} nFailed attempts that have failed in a row
 * @param {number | null} retryAfter what the server asked for, s
 * @param {() => number} random in [0, 1)
 */
export function secondsUntilRetry(nFailed, retryAfter = null, random = Math.random) {
  const wait = Math.min(FIRST_WAIT_SECONDS * 2 ** nFailed, LONGEST_WAIT_SECONDS);
  const spread = wait * (1 - 0.5 * random());
  return retryAfter === null ? spread : Math.max(spread, Math.min(retryAfter, LONGEST_ASKED_SECONDS));
}

const TEXT = new TextDecoder();

/**
 * Decode one MessagePack message. Binary data are views into `buffer`, not copies. Integers beyond
 * 2^53 lose precision, as numbers of JavaScript do; extension types are refused.
 * @param {ArrayBuffer} buffer
 * @returns {any}
 */
export function decodeMessagePack(buffer) {
  const view = new DataView(buffer);
  let at = 0;
  const take = (/** @type {number} */ n) => {
    const from = at;
    at += n;
    if (at > view.byteLength) throw new RangeError("MessagePack: the message ends too soon");
    return from;
  };
  const text = (/** @type {number} */ n) => TEXT.decode(new Uint8Array(buffer, take(n), n));
  const bytes = (/** @type {number} */ n) => new Uint8Array(buffer, take(n), n);
  const u8 = () => view.getUint8(take(1));
  const u16 = () => view.getUint16(take(2));
  const u32 = () => view.getUint32(take(4));
  const list = (/** @type {number} */ n) => {
    const items = new Array(n);
    for (let i = 0; i < n; i += 1) items[i] = value();
    return items;
  };
  const map = (/** @type {number} */ n) => {
    /** @type {Record<string, any>} */
    const members = {};
    for (let i = 0; i < n; i += 1) {
      const key = value();
      // A member of this name would change the object itself.
      if (key === "__proto__") value();
      else members[key] = value();
    }
    return members;
  };
  /** @returns {any} */
  function value() {
    const head = u8();
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 15);
    if (head < 0xa0) return list(head & 15);
    if (head < 0xc0) return text(head & 31);
    if (head >= 0xe0) return head - 256;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return bytes(u8());
      case 0xc5: return bytes(u16());
      case 0xc6: return bytes(u32());
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: return u8();
      case 0xcd: return u16();
      case 0xce: return u32();
      case 0xcf: return Number(view.getBigUint64(take(8)));
      case 0xd0: return view.getInt8(take(1));
      case 0xd1: return view.getInt16(take(2));
      case 0xd2: return view.getInt32(take(4));
      case 0xd3: return Number(view.getBigInt64(take(8)));
      case 0xd9: return text(u8());
      case 0xda: return text(u16());
      case 0xdb: return text(u32());
      case 0xdc: return list(u16());
      case 0xdd: return list(u32());
      case 0xde: return map(u16());
      case 0xdf: return map(u32());
      default: throw new RangeError(`MessagePack: got byte 0x${head.toString(16)}, which is not supported`);
    }
  }
  const decoded = value();
  if (at !== view.byteLength) throw new RangeError("MessagePack: bytes behind the message");
  return decoded;
}

/**
 * Spike counts of a data message, compact or not, one a unit.
 * @param {any} spikes `data.spikes`
 * @returns {Uint8Array | Uint16Array | number[]}
 */
export function spikeCounts(spikes) {
  if (!(spikes.counts instanceof Uint8Array)) return spikes.spike_counts;
  if (spikes.dtype === "u1") return spikes.counts;
  // The copy begins where a 16 bit array may begin.
  return new Uint16Array(spikes.counts.slice().buffer);
}

/** A WebSocket that comes back. See `connectView`, `connectSessions` and `connectStream`. */
export class Connection {
  /**
   * @param {string} url of the WebSocket, without a token
   * @param {object} options
   * @param {(message: any) => void} options.onMessage each message, decoded
   * @param {(status: any) => void} [options.onStatus] see `.d.ts`
   * @param {string | null} [options.token] of a server that has one
   * @param {string[]} [options.subprotocols] to ask for
   * @param {string | null} [options.probe] HTTP address that tells why an upgrade was refused
   * @param {boolean} [options.stays] ask the same server again when it says that the session has
   *   moved (it relays), in place of following; a page whose policy allows no other server must
   * @param {typeof WebSocket} [options.WebSocket] another implementation
   * @param {typeof fetch} [options.fetch] another implementation
   * @param {() => number} [options.random]
   */
  constructor(url, options) {
    this.url = url;
    this.probe = options.probe;
    this.options = options;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.nFailed = 0;
    this.isEnded = false;
    /** @type {any} */
    this.timer = null;
    this.status = { state: "connecting", attempt: 0 };
    this.#open(url);
  }

  /** Try now, without waiting for the rest of the countdown. */
  retryNow() {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.#open(this.url);
  }

  /**
   * Send a message as JSON text; dropped while there is no connection.
   * @param {any} message
   * @returns {boolean} whether it was sent
   */
  send(message) {
    if (this.socket === null || this.socket.readyState !== 1) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Say what a decoder makes of a packet.
   * @param {{packet_id: number, loop?: number, sequence_number?: number, vx?: number, vy?: number,
   *   x?: number, y?: number, decoder?: string}} prediction `packet_id` and a pair are required
   */
  predict(prediction) {
    return this.send({ type: "prediction", data: prediction });
  }

  /** Leave, and do not come back. */
  close() {
    this.isEnded = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.socket !== null) this.socket.close(1000);
    this.socket = null;
  }

  /** @param {any} status */
  #tell(status) {
    this.status = status;
    this.options.onStatus?.(status);
  }

  /** @param {string} url */
  #open(url) {
    const { token, subprotocols = [] } = this.options;
    const WebSocketClass = this.options.WebSocket ?? WebSocket;
    // The token comes first; the server answers with one of the others.
    const offered = token ? [`phantomlink.bearer.${token}`, ...subprotocols] : subprotocols;
    this.#tell({ state: "connecting", attempt: this.nFailed });
    let socket;
    try {
      socket = new WebSocketClass(url, offered);
    } catch (error) {
      // A token that is no token of the protocol's syntax.
      this.#tell({ state: "ended", code: 401, meaning: String(error) });
      return;
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let hasOpened = false;
    socket.onopen = () => {
      hasOpened = true;
      this.#tell({ state: "open" });
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      // Not at the opening: a server that admits and then fails would be asked without a pause.
      this.nFailed = 0;
      const isText = typeof event.data === "string";
      this.options.onMessage(isText ? JSON.parse(event.data) : decodeMessagePack(event.data));
    };
    socket.onclose = (event) => {
      if (this.isEnded || socket !== this.socket) return;
      this.socket = null;
      if (hasOpened) this.#lost(event.code, event.reason, null);
      else void this.#refused();
    };
  }

  async #refused() {
    const { token } = this.options;
    const { probe } = this;
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    let status = 1006;
    let retryAfter = null;
    let detail = "";
    if (probe) {
      try {
        const answer = await (this.options.fetch ?? fetch)(probe, { headers, cache: "no-store" });
        // 426: nothing was in the way but the network.
        if (!answer.ok && answer.status !== 426) {
          status = answer.status;
          retryAfter = Number(answer.headers.get("Retry-After")) || null;
          detail = (await answer.json()).detail ?? "";
        }
      } catch {
        // Neither does HTTP answer, or not with a problem: what is known of it counts.
      }
    }
    if (!this.isEnded) this.#lost(status, detail, retryAfter);
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {number | null} retryAfter
   */
  #lost(code, reason, retryAfter) {
    const { again, meaning } = judge(code);
    if (!again) {
      this.#tell({ state: "ended", code, meaning, reason });
      return;
    }
    const isMove = code === 4412;
    if (isMove && !this.options.stays) {
      this.url = movedTo(reason, this.url);
      if (this.probe) this.probe = movedTo(reason, this.probe);
    }
    const random = this.options.random ?? Math.random;
    // At once, but not for two servers that each say it is the other's.
    const isFirstMove = isMove && this.nFailed === 0;
    const seconds = isFirstMove ? 0 : secondsUntilRetry(this.nFailed, retryAfter, random);
    this.nFailed += 1;
    this.#tell({ state: "waiting", code, meaning, reason, seconds, attempt: this.nFailed });
    this.timer = setTimeout(() => {
      this.timer = null;
      this.#open(this.url);
    }, seconds * 1000);
  }
}

const ROUTE = /\/(?:stream|view|api)(?:\/.*)?$/;

/**
 * The same route and query on the server to which a session has moved.
 * @param {string} reason of the close: a URL of the new server, or of the stream there
 * @param {string} url that was asked, of a WebSocket or of HTTP
 * @returns {string} the same where the reason is no such URL
 */
export function movedTo(reason, url) {
  if (!URL.canParse(reason)) return url;
  const [told, asked] = [new URL(reason), new URL(url)];
  if (!/^(ws|http)s?:$/.test(told.protocol)) return url;
  const isSecure = told.protocol.endsWith("s:");
  const scheme = asked.protocol.startsWith("ws") ? "ws" : "http";
  const before = told.pathname.replace(ROUTE, "").replace(/\/$/, "");
  const route = ROUTE.exec(asked.pathname)?.[0] ?? asked.pathname;
  return `${scheme}${isSecure ? "s" : ""}://${told.host}${before}${route}${asked.search}`;
}

/**
 * The address of a WebSocket of a server.
 * @param {string} base of the server, as `http://127.0.0.1:8000/`
 * @param {string} path
 * @param {Record<string, any>} [query] members that are null or undefined are left out
 */
export function socketUrl(base, path, query = {}) {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace(/^http/, "ws");
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url.href;
}

/**
 * Watch a session: never creates, starts or keeps it.
 * @param {string} base of the server
 * @param {string} code of the session
 * @param {any} options as those of `Connection`, and `query`: `column_ms`, `units`, a filter
 */
export function connectView(base, code, options) {
  const named = encodeURIComponent(code);
  const subprotocols = [VIEW_PROTOCOL];
  const url = socketUrl(base, `view/${named}`, options.query);
  // Asked without an upgrade, it says why there is none.
  const probe = url.replace(/^ws/, "http");
  return new Connection(url, { probe, subprotocols, ...options });
}

/**
 * Watch the list of sessions.
 * @param {string} base of the server
 * @param {any} options as those of `Connection`
 */
export function connectSessions(base, options) {
  const probe = new URL("view", base).href;
  return new Connection(socketUrl(base, "view"), { probe, subprotocols: [VIEW_PROTOCOL], ...options });
}

/**
 * Listen to a session, which makes and starts it.
 * @param {string} base of the server
 * @param {string} code of the session
 * @param {any} options as those of `Connection`, and `query`: a filter, `scores`; `subprotocols`
 *   for another form than MessagePack
 */
export function connectStream(base, code, options) {
  const probe = new URL("api/stats", base).href;
  const url = socketUrl(base, `stream/${encodeURIComponent(code)}`, options.query);
  return new Connection(url, { probe, subprotocols: [STREAM_PROTOCOL], ...options });
}
