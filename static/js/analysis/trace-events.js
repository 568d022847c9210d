// Spikes, sorted units and ripples over the traces that they were found in.
//
// They are asked for in stretches of a power of two of samples and kept; one source at a time can be jumped through.

const CHUNK = 2 ** 17; // samples
const MOST_CHUNKS = 12; // a longer window shows no spikes: they would cover the traces
const LEGEND = 16;
const PAUSE_MS = 120;
const GAP_MS = 3000; // After the server did not answer, until it is asked again.
const MOST_KEPT = 96; // chunks of a source: hours are scrolled through without keeping all of their spikes

export class Events {
  // `changed` is called when what is drawn changes, `go` with a sample to show; it returns the middle of what is seen then.
  constructor({ section, part, changed, go }) {
    Object.assign(this, { section, part, changed, go, said: "", broken: "", sources: [], unit: null, late: 0 });
    part("traces-jump").addEventListener("change", () => { this.unit = null; this.changed(); });
  }

  async find() {
    const reply = await fetch(`${this.section.dataset.url}sources/`).catch(() => null);
    if (!reply || reply.status >= 500) { setTimeout(() => this.find(), GAP_MS); return; }
    if (!reply.ok) return;
    this.sources = (await reply.json()).map((told) => ({ ...told, shown: false, kept: new Map(), refused: new Set(), units: [] }));
    // At first the newest sorted units, or else the newest spikes, and the newest ripples.
    const newest = (...kinds) => kinds.map((kind) => this.sources.find((source) => source.kind === kind && !source.reason)).find(Boolean);
    for (const source of [newest("units", "spikes"), newest("ripples")]) if (source) source.shown = true;
    this.list();
    this.changed();
  }

  list() {
    const list = this.part("traces-sources");
    const jump = this.part("traces-jump");
    this.part("traces-events").hidden = !this.sources.length;
    list.replaceChildren(...this.sources.map((source) => {
      const [row, label, box, link] = ["li", "label", "input", "a"].map((name) => document.createElement(name));
      Object.assign(box, { type: "checkbox", checked: source.shown, disabled: Boolean(source.reason) });
      box.addEventListener("change", () => { source.shown = box.checked; this.offer(); this.changed(); });
      Object.assign(link, { href: source.page, textContent: source.label });
      label.append(box, ` ${source.kind}`);
      row.append(label, link);
      const note = source.reason || (source.shift ? `shifted by ${Number(source.shift.toPrecision(6))} s onto this clock` : "");
      if (note) row.append(Object.assign(document.createElement("span"), { className: "traces-note", textContent: note }));
      return row;
    }));
    jump.replaceChildren();
    this.offer();
  }

  // What can be jumped through is what is shown.
  offer() {
    const jump = this.part("traces-jump");
    const before = jump.value;
    const shown = this.sources.filter((source) => source.shown);
    jump.replaceChildren(...shown.map((source) => new Option(`${source.kind}: ${source.label}`, source.id)));
    if (shown.some((source) => source.id === before)) jump.value = before;
    this.part("traces-jumping").hidden = !shown.length;
    if (!shown.length) this.part("traces-legend").replaceChildren();
  }

  get chosen() { return this.sources.find((source) => source.shown && source.id === this.part("traces-jump").value); }

  async fetch(source, query) {
    const reply = await fetch(`${this.section.dataset.url}events/?${new URLSearchParams({ source: source.id, ...query })}`).catch(() => null);
    const told = (await reply?.json().catch(() => null)) ?? {};
    if (!reply?.ok) throw Object.assign(new Error(told.detail ?? "The server does not answer."), { lasting: reply?.status < 500 });
    source.units = told.units;
    return told;
  }

  // The next event after (1) or before (-1) the middle `from`, where it is shown, as far as the recording reaches.
  async jump(direction, from) {
    const source = this.chosen;
    if (!source) return;
    this.again = this.jumping ? direction : 0;
    if (this.jumping) return; // A key that is held asks for one more, when the answer is there.
    this.jumping = true;
    // Near its beginning and its end an event lies beside the middle: one goes on from the event.
    const middle = Math.abs(source.landed - from) < 1 ? source.last : Math.round(from);
    const query = direction > 0 ? { after: middle } : { before: Math.max(0, middle) };
    if (this.unit !== null) query.unit = this.unit;
    try {
      const [found] = (await this.fetch(source, query)).events;
      if (!found) { this.say(direction > 0 ? "There is none after this." : "There is none before this."); return; }
      this.say("");
      [source.last] = found;
      this.section.dataset.event = String(found[0]);
      source.landed = this.go(found[0]);
    } catch (error) {
      this.say(error.message);
    } finally {
      this.jumping = false;
    }
    if (this.again && !this.said) this.jump(this.again, source.landed);
  }

  // Below the sources: the line for the traces themselves is taken back by the next tile that comes.
  say(text) {
    this.said = text;
    this.changed();
  }

  // Chunks of the window that are there; those that are not are asked for once the window rests.
  chunks(source, start, stop) {
    const [from, to] = [Math.floor(Math.max(0, start) / CHUNK), Math.floor(Math.max(0, stop - 1) / CHUNK)];
    source.window = to - from < MOST_CHUNKS ? [from, to] : [0, -1];
    if (to - from >= MOST_CHUNKS) return null;
    const there = [];
    for (let index = from; index <= to; index += 1) if (source.kept.has(index)) there.push(source.kept.get(index));
    if (this.missing(source) !== undefined && !source.asking) {
      clearTimeout(source.timer);
      source.timer = setTimeout(() => this.fill(source), PAUSE_MS);
    }
    this.late += to - from + 1 - there.length;
    return there;
  }

  // The first chunk of what is seen now that is not there and was not refused.
  missing(source) {
    const [from, to] = source.window;
    for (let index = from; index <= to; index += 1) if (!source.kept.has(index) && !source.refused.has(index)) return index;
    return undefined;
  }

  // One after the other: the server reads the source for each, and what is no longer seen is not asked for.
  async fill(source) {
    if (source.asking) return;
    source.asking = true;
    for (let index = this.missing(source); index !== undefined; index = this.missing(source)) await this.ask(source, index);
    source.asking = false;
  }

  async ask(source, index) {
    try {
      source.kept.set(index, await this.fetch(source, { start: index * CHUNK, stop: (index + 1) * CHUNK }));
      this.broken = "";
    } catch (error) {
      this.broken = error.message;
      source.refused.add(index);
      if (!error.lasting) setTimeout(() => { source.refused.delete(index); this.changed(); }, GAP_MS);
    }
    const [from, to] = source.window;
    for (const old of source.kept.keys()) {
      if (source.kept.size <= MOST_KEPT) break;
      if (old < from || old > to) source.kept.delete(old);
    }
    this.changed();
  }

  // One hue for each unit; channels are told apart by their rows.
  colour(source, unit, dark) {
    const hue = source.kind === "spikes" ? 20 : (unit * 137.508 + 20) % 360;
    return `hsl(${hue} 75% ${dark ? 66 : 40}%)`;
  }

  // `at` has the window's start and span (samples), width, height and left (px), ratio, and `rowOf(channel)` in px.
  draw(brush, at) {
    this.late = 0;
    let left = 0;
    let wide = false;
    for (const source of this.sources.filter((one) => one.shown)) {
      const chunks = this.chunks(source, at.start, at.start + at.span);
      if (!chunks) { wide = true; continue; }
      const counts = new Map();
      const drawn = new Set();
      const x = (sample) => at.left + ((sample - at.start) / at.span) * at.width;
      for (const chunk of chunks) {
        left += chunk.more;
        for (const [peak, start, stop, unit] of chunk.events) {
          if (stop < at.start || start > at.start + at.span) continue;
          if (source.kind === "ripples") {
            // One that reaches into the next chunk comes with both.
            if (drawn.has(peak)) continue;
            drawn.add(peak);
          }
          counts.set(unit, (counts.get(unit) ?? 0) + 1);
          if (source.kind === "ripples") this.ripple(brush, at, x, { peak, start, stop });
          else this.spike(brush, at, x(peak), source, unit);
        }
      }
      source.counts = counts;
    }
    const notes = [this.said, this.broken, wide ? "Zoom in to see spikes and ripples." : "", left ? `${left.toLocaleString()} events more than can be drawn: zoom in.` : ""];
    this.part("traces-events-note").textContent = notes.filter(Boolean).join(" ");
    this.legend(at.dark);
    this.section.dataset.seen = [...this.sources.filter((one) => one.shown)].map((one) => [...(one.counts ?? new Map()).values()].reduce((a, b) => a + b, 0)).join(" ");
    this.section.dataset.late = this.late;
  }

  ripple(brush, at, x, { peak, start, stop }) {
    brush.fillStyle = at.dark ? "hsl(45 90% 60%)" : "hsl(38 95% 45%)";
    brush.globalAlpha = 0.16;
    const from = Math.max(at.left, x(start));
    brush.fillRect(from, 0, Math.max(at.ratio, Math.min(at.left + at.width, x(stop)) - from), at.height);
    brush.globalAlpha = 0.9;
    if (x(peak) >= at.left) brush.fillRect(Math.round(x(peak)), 0, at.ratio, 8 * at.ratio);
    brush.globalAlpha = 1;
  }

  spike(brush, at, x, source, unit) {
    if (x < at.left || x > at.left + at.width) return;
    const { channel } = source.units[unit];
    const row = channel === null ? null : at.rowOf(channel);
    if (row && (row.middle < -row.height || row.middle > at.height + row.height)) return;
    const high = row ? Math.min(row.height * 0.9, 26 * at.ratio) : 12 * at.ratio;
    const top = row ? row.middle - high / 2 : 0;
    brush.fillStyle = this.colour(source, unit, at.dark);
    brush.globalAlpha = this.unit === null || (source === this.chosen && unit === this.unit) ? 0.85 : 0.15;
    const thick = Math.max(at.ratio, Math.min(2 * at.ratio, row ? row.height / 6 : 2 * at.ratio));
    brush.fillRect(Math.round(x - thick / 2), Math.max(0, top), thick, Math.max(at.ratio, high));
    brush.globalAlpha = 1;
  }

  // The units of what can be jumped through, those that are most in the window first; one of them can be followed alone.
  legend(dark) {
    const source = this.chosen;
    const place = this.part("traces-legend");
    const units = source && source.kind === "units" ? [...(source.counts ?? new Map())].sort((a, b) => b[1] - a[1]).map(([unit]) => unit) : [];
    if (this.unit !== null && source?.units[this.unit] && !units.includes(this.unit)) units.unshift(this.unit);
    const told = JSON.stringify([source?.id, units, this.unit, dark]);
    if (told === place.dataset.told) return;
    place.dataset.told = told;
    const buttons = units.slice(0, LEGEND).map((unit) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "traces-unit" });
      const dot = document.createElement("span");
      dot.className = "traces-dot";
      dot.style.background = this.colour(source, unit, dark);
      button.append(dot, source.units[unit].name);
      button.setAttribute("aria-pressed", String(unit === this.unit));
      button.addEventListener("click", () => { this.unit = this.unit === unit ? null : unit; this.changed(); });
      return button;
    });
    if (units.length > LEGEND) buttons.push(Object.assign(document.createElement("span"), { className: "traces-note", textContent: `and ${units.length - LEGEND} units more` }));
    place.replaceChildren(...buttons);
  }
}
