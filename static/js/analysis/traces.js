// Traces of hours of voltage: what is seen is drawn anew in every frame, from tiles of lowest and highest values.
//
// What is missing is drawn paler from a coarser tile until it comes.

const GROUPS = [32, 128]; // channels of a tile
const ALL = 512;

const part = (id) => document.getElementById(id);
const section = part("traces");
const canvas = part("traces-canvas");
// Modules are served under hashed names: the page says those of the others.
const names = ["tiles", "clean", "events", "picture", "moves", "overview"].map((name) => section.dataset[name]);
const [{ COLUMNS, Tiles, keyOf }, { Cleaning }, { Events }, { Picture }, { MICROVOLTS, Moves }, { Overview }] = await Promise.all(names.map((name) => import(name)));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const view = { start: 0, span: 0, top: 0, rows: 16, microvolts: 0 };
const tilesWith = (more) => new Tiles(`${section.dataset.url}window/`, { changed: redraw, say, more });
const recorded = tilesWith({});
const cleaning = new Cleaning({ raw: recorded, make: tilesWith, columns: COLUMNS, changed: redraw, part });
const events = new Events({ section, part, changed: redraw, go: (sample) => moves.show(sample) });
const picture = new Picture({ canvas, view });
const overview = new Overview({ section, part, say, made: async () => { await describe(); moves.bound(); } });
const moves = new Moves({ section, canvas, part, view, picture, most: longest, changed: redraw, recentre, jump, over: read });
let tiles = recorded; // those that are drawn
let told = null; // what the server says of the recording
let order = []; // channels from the top of the page downwards
let baseline = null; // uV of each channel that is drawn in the middle of its row

// ---- which tiles

// A common median reads all channels, whichever are asked for.
const groupSize = () => (tiles.more.reference ? ALL : view.rows <= GROUPS[0] ? GROUPS[0] : GROUPS[1]);

// The narrowest bins of which a column is no wider than a pixel, as far as they can be had.
function widthFor(perPixel) {
  return 2 ** clamp(Math.floor(Math.log2(Math.max(1, perPixel))), 0, Math.log2(widest()));
}

function widest() {
  if (overview.ready) return 2 ** 40;
  return Math.max(1, 2 ** Math.floor(Math.log2(told.readable / COLUMNS)));
}

// How many samples can be seen at once.
function longest() {
  return overview.ready ? told.samples : Math.min(told.samples, widest() * picture.size.width);
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
    if (picture.isBad(order[row])) continue;
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

function drawRows(width) {
  const { perPixel, size } = picture;
  const reach = width * COLUMNS;
  const ends = Math.min(size.width, Math.ceil((told.samples - view.start) / perPixel));
  for (let row = Math.max(0, Math.floor(view.top)); row < Math.min(order.length, view.top + view.rows); row += 1) {
    const channel = order[row];
    for (let index = Math.floor(view.start / reach); index * reach < view.start + view.span; index += 1) {
      const had = tiles.best(channel, width, index, groupSize());
      if (!had) continue;
      if (Number.isNaN(baseline[channel])) centre(channel, had.tile);
      const [from, to] = [index * reach, (index + 1) * reach].map((sample) => clamp(Math.floor((sample - view.start) / perPixel), 0, ends));
      picture.drawRow(row, had.tile, from, to, baseline[channel], picture.colourOf(row, had.exact));
    }
  }
}

function draw() {
  const { brush, size } = picture;
  const width = widthFor(picture.perPixel);
  drawFrom(cleaning.tiles(width, size.width));
  const waiting = tiles.want(wanted(width));
  if (!view.microvolts && !waiting) chooseGain(width, groupSize());
  picture.clear();
  if (view.microvolts) drawRows(width);
  picture.show();
  events.draw(brush, { ...size, start: view.start, span: view.span, dark: picture.dark, rowOf: (channel) => picture.rowOf(channel) });
  picture.drawFrame();
  Object.assign(section.dataset, { start: view.start, span: view.span, bin: width, top: view.top, rows: view.rows, microvolts: view.microvolts, waiting, drawn: tiles === recorded ? "recorded" : Object.keys(tiles.more).join(" "), ratio: size.ratio, left: size.left, height: size.height });
  part("traces-wait").hidden = view.microvolts > 0;
}

let due = false;
function redraw() {
  if (due || !told) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

function recentre() { baseline.fill(NaN); redraw(); }
function jump(direction) { events.jump(direction, view.start + view.span / 2); }

// What is under the pointer, in words.
function read(event) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(view.top + ((event.clientY - box.top) * picture.size.ratio) / picture.rowHeight);
  if (row < 0 || row >= order.length) return;
  const width = widthFor(picture.perPixel);
  const sample = clamp(Math.floor(view.start + moves.shareAt(event.clientX) * view.span), 0, told.samples - 1);
  const channel = order[row];
  const tile = tiles.get(keyOf(width, Math.floor(sample / width / COLUMNS), Math.floor(channel / groupSize()) * groupSize(), groupSize()));
  const where = `${picture.clock(picture.seconds(sample), Math.max(1e-4, view.span / told.rate / 1000))} · channel ${channel}${picture.isBad(channel) ? ` (${told.quality.labels[channel]})` : ""}${told.positions ? `, ${Math.round(told.positions[channel][1])} µm` : ""}`;
  if (!tile) { part("traces-now").textContent = where; return; }
  const at = (channel - tile.first) * tile.planes * tile.columns + Math.floor((sample - tile.start) / tile.width);
  const [low, high] = [tile.values[at], tile.values[at + (tile.planes - 1) * tile.columns]].map((value) => value.toFixed(1));
  part("traces-now").textContent = `${where} · ${tile.planes === 1 ? low : `${low} to ${high}`} µV`;
}

// ---- the beginning

function say(text) {
  const place = part("traces-error");
  place.textContent = text;
  place.hidden = !text;
}

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
  picture.of(told, order);
  const bad = told.quality ? told.quality.labels.filter((label) => label !== "good") : [];
  const kinds = [...new Set(bad)].map((label) => `${bad.filter((one) => one === label).length} ${label}`).join(", ");
  const link = part("traces-quality");
  link.hidden = false;
  link.textContent = told.quality ? `${told.channels - bad.length} of ${told.channels} channels are good${kinds && ` (✕ ${kinds})`}: probe map and noise` : "Find the bad channels";
  link.href = told.quality ? `/results/${told.quality.result}/` : `/jobs/new/?recording=${section.dataset.recording}&pipeline=ephys.inspect`;
  if (!told.quality && !told.may_compute) link.hidden = true;
  overview.of(told);
}

async function begin() {
  try {
    await describe();
  } catch (error) {
    part("traces-wait").textContent = error.message || "The server does not answer.";
    return;
  }
  baseline = new Float32Array(told.channels).fill(NaN);
  picture.readColours();
  picture.fit();
  const asking = new URLSearchParams(window.location.hash.slice(1));
  view.rows = Math.min(told.channels, Math.max(4, Math.round(picture.size.height / picture.size.ratio / 26)));
  view.span = (Number(asking.get("seconds")) || 1) * told.rate;
  view.start = asking.has("at") ? (Number(asking.get("at")) - told.start) * told.rate - view.span / 2 || 0 : 0;
  moves.bound();
  new ResizeObserver(() => { picture.fit(); moves.bound(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { picture.readColours(); redraw(); });
  section.dataset.ready = "";
  events.find();
}

begin();

