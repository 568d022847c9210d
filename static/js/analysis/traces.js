// Traces of hours of voltage: what is seen is drawn anew in every frame, from tiles of lowest and highest values.
//
// What is missing is drawn paler from a coarser tile until it comes.

const GROUPS = [32, 128]; // channels of a tile
const ALL = 512;
const AXIS = 24;
const MICROVOLTS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

const part = (id) => document.getElementById(id);
const section = part("traces");
const canvas = part("traces-canvas");
const brush = canvas.getContext("2d", { alpha: false });
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Modules are served under hashed names: the page says that of the other.
const { tiles: ofTiles, clean: ofCleaning, events: ofEvents } = section.dataset;
const [{ COLUMNS, Tiles, keyOf }, { Cleaning }, { Events }] = await Promise.all([ofTiles, ofCleaning, ofEvents].map((name) => import(name)));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const tilesWith = (more) => new Tiles(`${section.dataset.url}window/`, { changed: redraw, say, more });
const recorded = tilesWith({});
const cleaning = new Cleaning({ raw: recorded, make: tilesWith, columns: COLUMNS, changed: redraw, part });
const events = new Events({ section, part, changed: redraw, go: show });
let tiles = recorded; // those that are drawn
let told = null; // what the server says of the recording
let order = []; // channels from the top of the page downwards
let places = []; // the row of each channel
let baseline = null; // uV of each channel that is drawn in the middle of its row
let colours = null;
let size = { width: 0, height: 0, left: 0, ratio: 1 };
const view = { start: 0, span: 0, top: 0, rows: 16, microvolts: 0 };

// ---- which tiles

// A common median reads all channels, whichever are asked for.
const groupSize = () => (tiles.more.reference ? ALL : view.rows <= GROUPS[0] ? GROUPS[0] : GROUPS[1]);

// The narrowest bins of which a column is no wider than a pixel, as far as they can be had.
function widthFor(perPixel) {
  return 2 ** clamp(Math.floor(Math.log2(Math.max(1, perPixel))), 0, Math.log2(widest()));
}

function widest() {
  if (told.overview.state === "ready") return 2 ** 40;
  return Math.max(1, 2 ** Math.floor(Math.log2(told.readable / COLUMNS)));
}

// What is seen, and then what comes next to it: later and earlier, and the channels above and below.
function wanted(width) {
  const each = groupSize();
  const [low, high] = [clamp(Math.floor(view.top), 0, order.length - 1), clamp(Math.ceil(view.top + view.rows), 1, order.length)];
  const groups = new Set(order.slice(low, high).map((channel) => Math.floor(channel / each)));
  const around = new Set(order.slice(Math.max(0, low - view.rows), high + view.rows).map((channel) => Math.floor(channel / each)));
  const reach = width * COLUMNS;
  const last = Math.floor((told.samples - 1) / reach);
  const [from, to] = [clamp(Math.floor(view.start / reach), 0, last), clamp(Math.floor((view.start + view.span - 1) / reach), 0, last)];
  const made = (index, group) => ({ width, index, first: group * each, channels: each, key: keyOf(width, index, group * each, each) });
  const seen = [];
  for (let index = from; index <= to; index += 1) for (const group of groups) seen.push(made(index, group));
  const next = [];
  for (const index of [to + 1, from - 1]) if (index >= 0 && index <= last) for (const group of groups) next.push(made(index, group));
  for (let index = from; index <= to; index += 1) for (const group of around) if (!groups.has(group)) next.push(made(index, group));
  return { seen, next };
}

// ---- drawing

const packedColour = (text) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = text;
  probe.fillRect(0, 0, 1, 1);
  return new Uint32Array(probe.getImageData(0, 0, 1, 1).data.buffer)[0];
};

function mixed(one, other, share) {
  const bits = (shift) => Math.round(((one >> shift) & 255) * (1 - share) + ((other >> shift) & 255) * share) << shift;
  return (bits(0) | bits(8) | bits(16) | 0xff000000) >>> 0;
}

function readColours() {
  const ground = packedColour(style("--surface"));
  const [ink, second, grey] = ["--accent", "--ink", "--line-strong"].map((name) => packedColour(style(name)));
  colours = { ground, good: [ink, second], bad: mixed(grey, ground, 0.45), pale: [mixed(ink, ground, 0.6), mixed(second, ground, 0.6)] };
}

let picture = null;
let pixels = null;

function fit() {
  const box = canvas.getBoundingClientRect();
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(64, Math.round(box.width * ratio));
  canvas.height = Math.max(64, Math.round(box.height * ratio));
  size = { ratio, left: Math.round((box.width < 600 ? 46 : 76) * ratio), width: 0, height: canvas.height - Math.round(AXIS * ratio) };
  size.width = canvas.width - size.left;
  picture = brush.createImageData(size.width, size.height);
  pixels = new Uint32Array(picture.data.buffer);
}

const isDark = () => { const [r, g, b] = [0, 8, 16].map((shift) => (colours.ground >> shift) & 255); return r + g + b < 384; };
const rowOf = (channel) => ({ middle: (places[channel] - view.top + 0.5) * rowHeight(), height: rowHeight() });
const rowHeight = () => size.height / view.rows;
const perMicrovolt = () => rowHeight() / view.microvolts;
const isBad = (channel) => Boolean(told.quality) && told.quality.labels[channel] !== "good";

// Lowest and highest of what lies under a pixel, as a run of pixels that meets the one before it.
function drawRow(row, tile, fromX, toX, colour) {
  const channel = order[row];
  const { columns, planes, values } = tile;
  const low = (channel - tile.first) * planes * columns;
  const high = low + (planes - 1) * columns;
  const [middle, scale, base] = [(row - view.top + 0.5) * rowHeight(), perMicrovolt(), baseline[channel]];
  const step = view.span / size.width / tile.width;
  const origin = (view.start - tile.start) / tile.width;
  const lines = planes === 1 && step < 1;
  let [lastTop, lastBottom] = [NaN, NaN];
  for (let x = fromX; x < toX; x += 1) {
    let [least, most] = [Infinity, -Infinity];
    if (lines) {
      // Samples further apart than pixels are joined by straight lines.
      for (const at of [origin + x * step - 0.5, origin + (x + 1) * step - 0.5]) {
        const k = clamp(Math.floor(at), 0, columns - 1);
        const value = values[low + k] + (values[low + Math.min(columns - 1, k + 1)] - values[low + k]) * clamp(at - k, 0, 1);
        if (value < least) least = value;
        if (value > most) most = value;
      }
    } else {
      const from = Math.max(0, Math.floor(origin + x * step));
      const to = Math.min(columns, Math.max(from + 1, Math.floor(origin + (x + 1) * step)));
      for (let k = from; k < to; k += 1) {
        if (values[low + k] < least) least = values[low + k];
        if (values[high + k] > most) most = values[high + k];
      }
    }
    if (!(most >= least)) { lastTop = NaN; continue; }
    let top = Math.round(middle - (most - base) * scale);
    let bottom = Math.round(middle - (least - base) * scale);
    const [ownTop, ownBottom] = [top, bottom];
    if (lastBottom < top) top = lastBottom; else if (lastTop > bottom) bottom = lastTop;
    [lastTop, lastBottom] = [ownTop, ownBottom];
    if (bottom < 0 || top >= size.height) continue;
    const end = Math.min(size.height - 1, bottom) * size.width + x;
    for (let at = Math.max(0, top) * size.width + x; at <= end; at += size.width) pixels[at] = colour;
  }
}

function centre(channel, tile) {
  const { columns, planes, values } = tile;
  const from = (channel - tile.first) * planes * columns;
  const middles = [];
  for (let k = 0; k < columns; k += 1) {
    const value = (values[from + k] + values[from + (planes - 1) * columns + k]) / 2;
    if (!Number.isNaN(value)) middles.push(value);
  }
  middles.sort((a, b) => a - b);
  baseline[channel] = middles.length ? middles[middles.length >> 1] : 0;
}

// At first a row is as high as what most channels do in what is seen.
function chooseGain(width, each) {
  const spans = [];
  for (let row = Math.floor(view.top); row < Math.min(order.length, view.top + view.rows); row += 1) {
    if (isBad(order[row])) continue;
    const had = tiles.best(order[row], width, Math.floor(view.start / width / COLUMNS), each);
    if (!had) continue;
    const { columns, planes, values } = had.tile;
    const from = (order[row] - had.tile.first) * planes * columns;
    const sorted = values.slice(from, from + planes * columns).filter((value) => !Number.isNaN(value)).sort();
    if (sorted.length) spans.push(sorted[Math.floor(sorted.length * 0.99)] - sorted[Math.floor(sorted.length * 0.01)]);
  }
  spans.sort((a, b) => a - b);
  const typical = spans[spans.length >> 1] || 100;
  view.microvolts = MICROVOLTS.find((value) => value >= typical) ?? typical;
}

// What was filtered is lower than what was recorded: each has its own height and middles.
function drawFrom(source) {
  if (source === tiles) return;
  tiles.leave();
  tiles.microvolts = view.microvolts;
  tiles = source;
  view.microvolts = tiles.microvolts;
  baseline.fill(NaN);
}

function draw() {
  const width = widthFor(view.span / size.width);
  drawFrom(cleaning.tiles(width, size.width));
  const waiting = tiles.want(wanted(width));
  const each = groupSize();
  if (!view.microvolts && !waiting) chooseGain(width, each);
  pixels.fill(colours.ground);
  const reach = width * COLUMNS;
  const perPixel = view.span / size.width;
  const ends = Math.min(size.width, Math.ceil((told.samples - view.start) / perPixel));
  if (view.microvolts) {
    for (let row = Math.max(0, Math.floor(view.top)); row < Math.min(order.length, view.top + view.rows); row += 1) {
      const channel = order[row];
      for (let index = Math.floor(view.start / reach); index * reach < view.start + view.span; index += 1) {
        const had = tiles.best(channel, width, index, each);
        if (!had) continue;
        if (Number.isNaN(baseline[channel])) centre(channel, had.tile);
        const [from, to] = [index * reach, (index + 1) * reach].map((sample) => clamp(Math.floor((sample - view.start) / perPixel), 0, ends));
        const colour = isBad(channel) ? colours.bad : (had.exact ? colours.good : colours.pale)[row % 2];
        drawRow(row, had.tile, from, to, colour);
      }
    }
  }
  brush.fillStyle = style("--surface");
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.putImageData(picture, size.left, 0);
  events.draw(brush, { ...size, start: view.start, span: view.span, dark: isDark(), rowOf });
  drawFrame();
  Object.assign(section.dataset, { start: view.start, span: view.span, bin: width, top: view.top, rows: view.rows, microvolts: view.microvolts, waiting, drawn: tiles === recorded ? "recorded" : Object.keys(tiles.more).join(" "), ratio: size.ratio, left: size.left, height: size.height });
  part("traces-wait").hidden = view.microvolts > 0;
}

const nice = (about) => { const power = 10 ** Math.floor(Math.log10(about)); return power * [5, 2, 1].find((step) => step * power <= about); };
const seconds = (sample) => told.start + sample / told.rate;

function clock(value, step) {
  const digits = clamp(Math.ceil(-Math.log10(step) - 1e-9), 0, 6);
  if (told.samples / told.rate < 120 || digits > 3) return `${value.toFixed(digits)} s`;
  const [sign, rest] = [value < 0 ? "−" : "", Math.abs(value) + 10 ** -digits * 1e-3];
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const tail = digits ? (rest % 1).toFixed(digits + 3).slice(1, digits + 2) : "";
  return `${sign}${Math.floor(rest / 3600)}:${two((rest / 60) % 60)}:${two(rest % 60)}${tail}`;
}

function drawFrame() {
  const { ratio, left, height, width } = size;
  const [ink, muted, line] = ["--ink", "--ink-2", "--line"].map(style);
  brush.font = `${11 * ratio}px system-ui, sans-serif`;
  brush.textBaseline = "middle";
  // Channels, as many as there is room to name.
  const every = Math.max(1, 2 ** Math.ceil(Math.log2((15 * ratio) / rowHeight())));
  brush.textAlign = "right";
  for (let row = Math.ceil(Math.max(0, view.top - 0.5) / every) * every; row < Math.min(order.length, view.top + view.rows); row += every) {
    const y = (row - view.top + 0.5) * rowHeight();
    if (y > height) break;
    brush.fillStyle = isBad(order[row]) ? muted : ink;
    brush.fillText(labelOf(order[row]), left - 6 * ratio, y);
  }
  // Time.
  brush.fillStyle = style("--surface");
  brush.fillRect(0, height, canvas.width, canvas.height - height);
  brush.fillStyle = line;
  brush.fillRect(left, height, width, ratio);
  const step = nice((view.span / told.rate / width) * 150 * ratio);
  brush.textAlign = "center";
  for (let k = Math.ceil(seconds(view.start) / step); k * step <= seconds(view.start + view.span); k += 1) {
    const x = left + ((k * step - seconds(view.start)) * told.rate * width) / view.span;
    brush.fillStyle = line;
    brush.fillRect(Math.round(x), height, ratio, 5 * ratio);
    brush.fillStyle = muted;
    if (x > left + 30 * ratio && x < canvas.width - 30 * ratio) brush.fillText(clock(k * step, step), x, height + 14 * ratio);
  }
  if (!view.microvolts) return;
  // The scale: so many microvolts high, so long.
  const tall = nice(Math.max(view.microvolts, (60 * ratio) / perMicrovolt()) * 1.001);
  const [x, y, up, across] = [canvas.width - 14 * ratio, height - 14 * ratio, tall * perMicrovolt(), nice((view.span / told.rate) * 0.12)];
  const long = (across * told.rate * width) / view.span;
  const words = [tall >= 1000 ? `${tall / 1000} mV` : `${tall} µV`, across >= 1 ? `${across} s` : `${Number((across * 1000).toPrecision(3))} ms`];
  brush.textAlign = "right";
  brush.fillStyle = style("--surface");
  brush.globalAlpha = 0.82;
  brush.fillRect(x - Math.max(long, 90 * ratio) - 8 * ratio, y - up - 8 * ratio, Math.max(long, 90 * ratio) + 16 * ratio, up + 20 * ratio);
  brush.globalAlpha = 1;
  brush.fillStyle = ink;
  brush.fillRect(x - 2 * ratio, y - up, 2 * ratio, up);
  brush.fillRect(x - long, y - 2 * ratio, long, 2 * ratio);
  brush.fillText(words[0], x - 8 * ratio, y - up + 7 * ratio);
  brush.fillText(words[1], x - 8 * ratio, y - 11 * ratio);
}

function labelOf(channel) {
  const mark = isBad(channel) ? "✕ " : "";
  if (!told.positions || size.left < 70 * size.ratio) return `${mark}${channel}`;
  return `${mark}${channel} · ${Math.round(told.positions[channel][1])}`;
}

let due = false;
function redraw() {
  if (due || !told) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

// ---- moving

function bound() {
  const most = told.overview.state === "ready" ? told.samples : Math.min(told.samples, widest() * size.width);
  view.span = clamp(view.span, Math.min(told.samples, 16), Math.max(16, most));
  view.start = clamp(view.start, 0, Math.max(0, told.samples - view.span));
  view.rows = clamp(view.rows, 1, order.length);
  view.top = clamp(view.top, 0, order.length - view.rows);
  const scrub = part("traces-scrub");
  scrub.max = Math.max(1, told.samples - view.span);
  scrub.value = view.start;
  scrub.setAttribute("aria-valuetext", clock(seconds(view.start), 0.001));
  part("traces-rows").textContent = `${Math.round(view.rows)} of ${order.length} channels`;
  part("traces-span").textContent = `${Number((view.span / told.rate).toPrecision(3))} s`;
  redraw();
}

function scroll(share) { view.start += share * view.span; bound(); }
function show(sample) { view.start = sample - view.span / 2; bound(); }
function jump(direction) { events.jump(direction, view.start + view.span / 2); }
function scrollRows(rows) { view.top += rows; bound(); }

// What lies at a share of the width stays there.
function zoom(factor, share = 0.5) {
  const at = view.start + share * view.span;
  view.span *= factor;
  bound();
  view.start = at - share * view.span;
  bound();
}

function showRows(factor) {
  const middle = view.top + view.rows / 2;
  const next = Math.round(view.rows * factor);
  view.rows = next === Math.round(view.rows) ? view.rows + Math.sign(factor - 1) : next;
  view.top = middle - view.rows / 2;
  bound();
}

function gain(direction) {
  const at = MICROVOLTS.findIndex((value) => value >= view.microvolts);
  view.microvolts = MICROVOLTS[clamp((at < 0 ? MICROVOLTS.length : at) + direction, 0, MICROVOLTS.length - 1)];
  redraw();
}

function recentre() { baseline.fill(NaN); redraw(); }

const ACTIONS = {
  ArrowLeft: () => scroll(-0.1), ArrowRight: () => scroll(0.1), PageUp: () => scroll(-1), PageDown: () => scroll(1),
  Home: () => { view.start = 0; bound(); }, End: () => { view.start = told.samples; bound(); },
  ArrowUp: () => scrollRows(-Math.max(1, view.rows / 8)), ArrowDown: () => scrollRows(Math.max(1, view.rows / 8)),
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "]": () => gain(-1), "[": () => gain(1),
  ",": () => showRows(0.5), ".": () => showRows(2), c: recentre, n: () => jump(1), p: () => jump(-1),
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !told || !ACTIONS[event.key]) return;
  event.preventDefault();
  ACTIONS[event.key]();
});
for (const button of section.querySelectorAll("[data-key]")) button.addEventListener("click", () => told && ACTIONS[button.dataset.key]());
part("traces-scrub").addEventListener("input", (event) => { view.start = Number(event.target.value); bound(); });

const shareAt = (clientX) => { const box = canvas.getBoundingClientRect(); return clamp(((clientX - box.left) * size.ratio - size.left) / size.width, 0, 1); };

canvas.addEventListener("wheel", (event) => {
  if (!told) return;
  event.preventDefault();
  const scale = event.deltaMode ? 30 : 1;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) scroll(((event.deltaX || event.deltaY) * scale * size.ratio) / size.width);
  else if (event.altKey) scrollRows((event.deltaY * scale * size.ratio) / rowHeight());
  else zoom(2 ** clamp((event.deltaY * scale) / (event.ctrlKey ? 100 : 300), -1, 1), shareAt(event.clientX));
}, { passive: false });

// One finger or the mouse takes the picture along; two spread it in time.
const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});
canvas.addEventListener("pointermove", (event) => {
  if (!told) return;
  read(event);
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const [dx, dy] = [(event.clientX - before.x) * size.ratio, (event.clientY - before.y) * size.ratio];
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  if (others.length) {
    const [was, now] = [before.x, event.clientX].map((x) => Math.max(20, Math.abs(x - others[0].x)));
    zoom(was / now, shareAt((event.clientX + others[0].x) / 2));
    scroll(-dx / 2 / size.width);
  } else {
    view.top -= dy / rowHeight();
    scroll(-dx / size.width);
  }
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});
for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));

// What is under the pointer, in words.
function read(event) {
  const box = canvas.getBoundingClientRect();
  const share = shareAt(event.clientX);
  const row = Math.floor(view.top + ((event.clientY - box.top) * size.ratio) / rowHeight());
  if (row < 0 || row >= order.length) return;
  const width = widthFor(view.span / size.width);
  const sample = clamp(Math.floor(view.start + share * view.span), 0, told.samples - 1);
  const channel = order[row];
  const tile = tiles.get(keyOf(width, Math.floor(sample / width / COLUMNS), Math.floor(channel / groupSize()) * groupSize(), groupSize()));
  const where = `${clock(seconds(sample), Math.max(1e-4, view.span / told.rate / 1000))} · channel ${channel}${isBad(channel) ? ` (${told.quality.labels[channel]})` : ""}${told.positions ? `, ${Math.round(told.positions[channel][1])} µm` : ""}`;
  if (!tile) { part("traces-now").textContent = where; return; }
  const at = (channel - tile.first) * tile.planes * tile.columns + Math.floor((sample - tile.start) / tile.width);
  const [low, high] = [tile.values[at], tile.values[at + (tile.planes - 1) * tile.columns]].map((value) => value.toFixed(1));
  part("traces-now").textContent = `${where} · ${tile.planes === 1 ? low : `${low} to ${high}`} µV`;
}

// ---- the beginning, and the overview

function say(text) {
  const place = part("traces-error");
  place.textContent = text;
  place.hidden = !text;
}

const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
const POLL_MS = 1500;

function offer() {
  const { state } = told.overview;
  part("traces-offer").hidden = state === "ready";
  part("traces-compute").hidden = !told.may_compute || state === "queued" || state === "running";
  const most = Number((told.readable / told.rate).toPrecision(2));
  const words = { queued: "The overview is queued.", running: "The overview is being made.", failed: "The overview could not be made; its job says why." };
  part("traces-words").textContent = `${words[state] ?? "There is no overview yet."} Until then up to about ${most} s are shown at a time.`;
  const link = part("traces-job");
  link.hidden = !told.overview.job;
  if (told.overview.job) link.href = `/jobs/${told.overview.job}/`;
  if (state === "queued" || state === "running") setTimeout(follow, POLL_MS);
}

async function follow() {
  try {
    const reply = await fetch(`/api/v1/jobs/${told.overview.job}/`);
    if (!reply.ok) throw new Error();
    const job = await reply.json();
    if (job.state === "succeeded") { await describe(); bound(); return; }
    told.overview.state = job.state;
    offer();
    if (job.state === "running") part("traces-words").textContent += ` ${Math.round(job.progress * 100)} % done.`;
  } catch {
    setTimeout(follow, 4 * POLL_MS);
  }
}

part("traces-compute").addEventListener("click", async () => {
  const reply = await fetch("/api/v1/jobs/", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") },
    body: JSON.stringify({ pipeline: "ephys.overview", recordings: [section.dataset.recording] }),
  });
  const job = await reply.json();
  if (!reply.ok) { say(job.detail); return; }
  told.overview = { ...told.overview, state: job.state === "succeeded" ? "running" : job.state, job: job.id };
  offer();
});

async function describe() {
  const reply = await fetch(section.dataset.url);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.detail);
  told = answer;
  recorded.of(told);
  cleaning.of(told);
  // Towards the surface of the brain is up.
  order = Array.from({ length: told.channels }, (_, channel) => channel);
  if (told.positions) order.sort((a, b) => told.positions[b][1] - told.positions[a][1] || told.positions[a][0] - told.positions[b][0]);
  places = [];
  order.forEach((channel, row) => { places[channel] = row; });
  const bad = told.quality ? told.quality.labels.filter((label) => label !== "good") : [];
  const kinds = [...new Set(bad)].map((label) => `${bad.filter((one) => one === label).length} ${label}`).join(", ");
  const link = part("traces-quality");
  link.hidden = false;
  link.textContent = told.quality ? `${told.channels - bad.length} of ${told.channels} channels are good${kinds && ` (✕ ${kinds})`}: probe map and noise` : "Find the bad channels";
  link.href = told.quality ? `/results/${told.quality.result}/` : `/jobs/new/?recording=${section.dataset.recording}&pipeline=ephys.inspect`;
  if (!told.quality && !told.may_compute) link.hidden = true;
  offer();
}

async function begin() {
  try {
    await describe();
  } catch (error) {
    part("traces-wait").textContent = error.message || "The server does not answer.";
    return;
  }
  baseline = new Float32Array(told.channels).fill(NaN);
  readColours();
  fit();
  const asking = new URLSearchParams(window.location.hash.slice(1));
  view.rows = Math.min(told.channels, Math.max(4, Math.round(size.height / size.ratio / 26)));
  view.span = (Number(asking.get("seconds")) || 1) * told.rate;
  view.start = asking.has("at") ? (Number(asking.get("at")) - told.start) * told.rate - view.span / 2 : 0;
  bound();
  new ResizeObserver(() => { fit(); bound(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  section.dataset.ready = "";
  events.find();
}

begin();
