// Tiles of voltage: so many columns of a group of channels, in bins of a power of two of samples.
//
// Bins are counted from the first sample of the recording, so the same tiles are met again wherever one scrolls. A
// request that nobody waits for any more is ended, and no more are under way than the server answers at once.

export const COLUMNS = 512;
const AT_ONCE = 6;
const FILTERED_AT_ONCE = 2; // the server keeps so many processes that filter
const KEPT_BYTES = 160e6;
const COARSER = 7; // In place of a tile serves one of bins up to 2^7 times as wide.
const GAP_MS = 3000; // After an error, until the same is asked for again.

export const keyOf = (width, index, first, channels) => `${width}/${index}/${first}/${channels}`;

// As analysis/readers/traces.py packs it. Microvolts of a channel then lie beside each other.
function unpacked(buffer) {
  const head = new DataView(buffer);
  const [header, first, channels, planes, gaps] = [6, 24, 26, 28, 30].map((at) => head.getUint16(at, true));
  const columns = head.getUint32(20, true);
  const scale = new Float32Array(buffer.slice(header - 8 * channels, header));
  const steps = new Int16Array(buffer, header, columns * planes * channels);
  const values = new Float32Array(columns * planes * channels);
  for (let c = 0; c < channels; c += 1) {
    const [gain, offset] = [scale[c], scale[channels + c]];
    for (let p = 0; p < planes; p += 1) {
      const to = (c * planes + p) * columns;
      for (let k = 0, from = p * channels + c; k < columns; k += 1, from += planes * channels) {
        values[to + k] = gaps && steps[from] === -32768 ? NaN : steps[from] * gain + offset;
      }
    }
  }
  return { start: Number(head.getBigUint64(8, true)), width: head.getUint32(16, true), columns, first, channels, planes, values };
}

export class Tiles {
  // `changed` is called when one has come, `say` with a sentence when one cannot; `more` goes with every request.
  constructor(url, { changed, say, more = {} }) {
    Object.assign(this, { url, changed, say, more, atOnce: Object.keys(more).length ? FILTERED_AT_ONCE : AT_ONCE, microvolts: 0, kept: new Map(), asked: new Map(), failed: new Map(), bytes: 0 });
  }

  // Another mark is that of other files.
  of({ mark, samples }) {
    if (this.mark !== mark) { this.kept.clear(); this.bytes = 0; }
    Object.assign(this, { mark, samples });
  }

  get(key) { return this.kept.get(key); }

  // The tile itself, or the finest coarser one that is there.
  best(channel, width, index, each) {
    const key = keyOf(width, index, Math.floor(channel / each) * each, each);
    const own = this.kept.get(key);
    if (own) { this.kept.delete(key); this.kept.set(key, own); return { tile: own, exact: true }; }
    for (let more = 1; more <= COARSER; more += 1) {
      for (const group of [each, each === 32 ? 128 : 32]) {
        const tile = this.kept.get(keyOf(width * 2 ** more, Math.floor(index / 2 ** more), Math.floor(channel / group) * group, group));
        if (tile) return { tile, exact: false };
      }
    }
    return null;
  }

  // Nothing is waited for any more.
  leave() {
    for (const ended of this.asked.values()) ended.abort();
    this.asked.clear();
  }

  // Ask for what is seen and then for what is next to it, and no longer for anything else; returns how many are missing.
  want({ seen, next }) {
    const missing = (tile) => !this.kept.has(tile.key);
    const now = performance.now();
    const lately = (tile) => now - (this.failed.get(tile.key) ?? -GAP_MS) < GAP_MS;
    const queue = [...seen, ...next].filter((tile) => missing(tile) && !lately(tile));
    const keys = new Set(queue.map((tile) => tile.key));
    for (const [key, ended] of this.asked) if (!keys.has(key)) { this.asked.delete(key); ended.abort(); }
    for (const tile of queue) {
      if (this.asked.size >= this.atOnce) break;
      if (!this.asked.has(tile.key)) this.ask(tile);
    }
    return seen.filter(missing).length;
  }

  async ask({ key, width, index, first, channels }) {
    const ended = new AbortController();
    this.asked.set(key, ended);
    const start = index * width * COLUMNS;
    const stop = Math.min(this.samples, start + width * COLUMNS);
    const query = new URLSearchParams({ start, stop, columns: COLUMNS, first, channels, mark: this.mark, ...this.more });
    try {
      const reply = await fetch(`${this.url}?${query}`, { signal: ended.signal });
      if (!reply.ok) throw new Error((await reply.json()).detail);
      const tile = unpacked(await reply.arrayBuffer());
      // The last tile of all may have so few samples that finer bins than asked for would do.
      this.keep(key, tile);
      this.failed.delete(key);
      this.say("");
    } catch (error) {
      if (error.name !== "AbortError") {
        this.failed.set(key, performance.now());
        this.say(error.message || "The server does not answer.");
        setTimeout(this.changed, GAP_MS + 50);
      }
    } finally {
      if (this.asked.get(key) === ended) this.asked.delete(key);
      this.changed();
    }
  }

  keep(key, tile) {
    this.kept.set(key, tile);
    this.bytes += tile.values.byteLength;
    for (const [old, value] of this.kept) {
      if (this.bytes <= KEPT_BYTES) break;
      this.kept.delete(old);
      this.bytes -= value.values.byteLength;
    }
  }
}
