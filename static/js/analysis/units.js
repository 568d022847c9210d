// Sorted units one by one: their curves, and labels by key or thumb. What was pressed is sent in its order, one at a
// time, and is shown as waiting until the server has it; what somebody else said of the same unit is asked about.

const part = (id) => document.getElementById(id);
const section = part("units");
const { recording } = section.dataset;
const mayChange = section.dataset.mayChange === "yes";
const LABELS = { g: "good", m: "multi-unit", n: "noise", x: null };
const CHIPS = { good: ["chip-good", "✓"], "multi-unit": ["chip-warn", "◑"], noise: ["", "✕"] };
const WATCH_MS = 5000;
const AGAIN_MS = 3000;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";

let sheet = null;
let shown = 0;
let last = null; // the newest revision that is known here
let waiting = []; // what is still to be sent
let sending = false;
let against = null; // what somebody else contradicts
let refused = false; // whether what is told is a refusal, which stays until the next key

// ---- what is said of a unit

const byHand = (name) => {
  const said = [...waiting].reverse().find((one) => one.labels && name in one.labels);
  return said ? said.labels[name] : last?.labels[name] ?? null;
};
const labelOf = (unit) => byHand(unit.name) ?? unit.own;

function chip(element, unit) {
  const label = labelOf(unit);
  const [kind, shape] = CHIPS[label] ?? ["", ""];
  element.className = `chip ${kind}`;
  element.textContent = label ? `${shape} ${label}${byHand(unit.name) ? "" : " (sorter)"}` : "no label";
}

// ---- pictures

function plot(id, { lines = [], bars = null, points = null, x, y }) {
  const canvas = part(id);
  const box = canvas.getBoundingClientRect();
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  [canvas.width, canvas.height] = [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
  const brush = canvas.getContext("2d");
  const [left, foot, top] = [40 * ratio, 16 * ratio, 6 * ratio];
  const across = (value) => left + ((value - x[0]) / (x[1] - x[0] || 1)) * (canvas.width - left - 4 * ratio);
  const up = (value) => canvas.height - foot - ((value - y[0]) / (y[1] - y[0] || 1)) * (canvas.height - foot - top);
  brush.font = `${10 * ratio}px system-ui, sans-serif`;
  brush.fillStyle = style("--ink-2");
  brush.textAlign = "right";
  const short = (value) => (Math.abs(value) < (y[1] - y[0]) / 1e4 ? 0 : Number(value.toPrecision(3)));
  for (const value of y) brush.fillText(short(value), left - 5 * ratio, up(value) + (value === y[1] ? 8 : 0) * ratio);
  brush.textAlign = "left";
  brush.fillText(Number(x[0].toPrecision(4)), left, canvas.height - 3 * ratio);
  brush.textAlign = "right";
  brush.fillText(Number(x[1].toPrecision(4)), canvas.width - 2 * ratio, canvas.height - 3 * ratio);
  brush.fillStyle = style("--line");
  brush.fillRect(left, canvas.height - foot, canvas.width - left, ratio);
  brush.fillStyle = style("--accent");
  brush.strokeStyle = style("--accent");
  if (bars) bars.forEach((value, k) => { const step = (x[1] - x[0]) / bars.length; const at = across(x[0] + k * step); brush.fillRect(at, up(value), Math.max(1, across(x[0] + (k + 1) * step) - at - (bars.length < 150 ? ratio * 0.5 : 0)), up(y[0]) - up(value)); });
  if (points) for (let k = 0; k < points[0].length; k += 1) brush.fillRect(across(points[0][k]) - ratio, up(points[1][k]) - ratio, 2 * ratio, 2 * ratio);
  brush.lineWidth = 1.8 * ratio;
  for (const [xs, ys] of lines) {
    brush.beginPath();
    xs.forEach((value, k) => (k ? brush.lineTo(across(value), up(ys[k])) : brush.moveTo(across(value), up(ys[k]))));
    brush.stroke();
  }
}

const range = (values) => [Math.min(...values), Math.max(...values)];

function drawUnit() {
  const unit = sheet.units[shown];
  part("plot-waveform").closest("figure").hidden = !unit.waveform.length;
  part("plot-amplitude").closest("figure").hidden = !unit.amplitude.length;
  if (unit.waveform.length) plot("plot-waveform", { lines: [[sheet.waveform_ms, unit.waveform]], x: range(sheet.waveform_ms), y: range(unit.waveform) });
  plot("plot-correlogram", { bars: unit.correlogram, x: [-50, 50], y: [0, Math.max(...unit.correlogram, 1)] });
  if (unit.amplitude.length) plot("plot-amplitude", { points: unit.amplitude, x: [sheet.start, sheet.stop], y: range([0, ...unit.amplitude[1]]) });
  plot("plot-rates", { bars: unit.rates, x: [sheet.start, sheet.stop], y: [0, Math.max(...unit.rates, 0.1)] });
}

function fact(words, value) {
  const row = document.createElement("div");
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  [term.textContent, text.textContent] = [words, value];
  row.append(term, text);
  return row;
}

// ---- the list and the unit

function show(index, { scroll = true } = {}) {
  shown = Math.min(sheet.units.length - 1, Math.max(0, index));
  const unit = sheet.units[shown];
  part("units-name").textContent = `Unit ${unit.name}`;
  part("units-facts").replaceChildren(
    fact("spikes", unit.spikes.toLocaleString("en")),
    fact("rate", `${Number(unit.rate.toPrecision(3))} /s`),
    fact("refractory violations", unit.violations === null ? "too few spikes" : `${(100 * unit.violations).toFixed(1)} % of chance`),
    fact("present in", `${(100 * unit.presence).toFixed(0)} %`),
    ...(unit.own ? [fact("sorter says", unit.own)] : []),
  );
  for (const [k, row] of [...part("units-rows").children].entries()) {
    const button = row.firstElementChild;
    if (k === shown) { button.setAttribute("aria-current", "true"); if (scroll && matchMedia("(min-width: 761px)").matches) button.scrollIntoView({ block: "nearest" }); } else button.removeAttribute("aria-current");
  }
  section.dataset.unit = unit.name;
  chips();
  drawUnit();
}

function chips() {
  const unit = sheet.units[shown];
  chip(part("units-label"), unit);
  for (const [k, row] of [...part("units-rows").children].entries()) chip(row.querySelector(".chip"), sheet.units[k]);
  for (const button of part("units-bar").querySelectorAll("[data-key]")) if (LABELS[button.dataset.key]) button.setAttribute("aria-pressed", byHand(unit.name) === LABELS[button.dataset.key]);
  const count = (label) => sheet.units.filter((one) => labelOf(one) === label).length;
  part("units-count").textContent = `${sheet.units.length} units: ${count("good")} good, ${count("multi-unit")} multi-unit, ${count("noise")} noise`;
  const who = last ? `Revision ${last.revision}, by ${last.user ?? "somebody"}, ${new Date(last.created).toLocaleString()}.` : "Nobody has labelled a unit yet.";
  part("units-state").textContent = waiting.length ? `${waiting.length} to be sent … ${who}` : who;
  section.dataset.waiting = waiting.length;
  section.dataset.revision = last?.revision ?? 0;
}

// ---- sending

function tell(text, { stays = false } = {}) {
  refused = stays;
  part("units-trouble").textContent = text;
  part("units-trouble").hidden = !text;
}

const post = (url, body) => fetch(url, { method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") }, body: JSON.stringify(body) });

async function send() {
  if (sending || against || !waiting.length) return;
  sending = true;
  let later = false;
  try {
    await sendOne(waiting[0]);
  } catch (error) {
    later = true;
    tell(`Not kept yet: ${error.message || "the server does not answer"}. It is tried again.`);
    setTimeout(send, AGAIN_MS);
  } finally {
    sending = false;
    chips();
  }
  // What waits behind one that was refused goes its way all the same.
  if (!later) send();
}

async function sendOne(one) {
  if (one.undo && !last) {
    waiting.shift();
    tell("No unit has a label yet: there is nothing to undo.", { stays: true });
    return;
  }
  const reply = one.undo ? await post(`/api/v1/unit-labels/${last.id}/undo/`, {}) : await post("/api/v1/unit-labels/", { recording, base: last?.revision ?? 0, labels: one.labels });
  const answer = await reply.json();
  if (reply.ok) {
    waiting.shift();
    last = answer;
    if (!refused) tell("");
    if (one.undo) { const [name] = Object.keys(answer.changed); const at = sheet.units.findIndex((unit) => unit.name === name); if (at >= 0) show(at); }
  } else if (reply.status === 412) {
    const newest = await ask();
    if (newest) last = { ...newest };
    if (one.undo) { waiting.shift(); tell(answer.detail, { stays: true }); } else { against = one; part("units-conflict-words").textContent = `${answer.detail} You said ${Object.values(one.labels)[0] ?? "no label"}.`; part("units-conflict").hidden = false; }
  } else if (reply.status >= 500 || reply.status === 429) {
    throw new Error(answer.detail);
  } else {
    waiting.shift();
    tell(answer.detail, { stays: true });
  }
}

function resolve(mine) {
  part("units-conflict").hidden = true;
  if (!mine) waiting = waiting.filter((one) => one !== against);
  against = null;
  chips();
  send();
}
part("units-theirs").addEventListener("click", () => resolve(false));
part("units-mine").addEventListener("click", () => resolve(true));

async function ask() {
  const reply = await fetch(`/api/v1/unit-labels/?recording=${recording}&ordering=-revision&page_size=1`);
  if (!reply.ok) throw new Error((await reply.json()).detail);
  return (await reply.json()).results[0] ?? null;
}

// What others say shows within seconds; never in place of what is still on its way from here.
async function watch() {
  if (document.hidden || waiting.length || sending) return;
  try {
    const newest = await ask();
    if (!waiting.length && !sending && (newest?.revision ?? 0) > (last?.revision ?? 0)) { last = newest; chips(); }
  } catch {
    // The chip at the top says that the server does not answer.
  }
}

// ---- keys and thumbs

function press(key) {
  if (key === "ArrowUp" || key === "ArrowLeft" || key === "k") show(shown - 1);
  else if (key === "ArrowDown" || key === "ArrowRight" || key === "j") show(shown + 1);
  else if (!mayChange) return false;
  else if (refused && (key === "u" || key in LABELS)) { tell(""); return press(key); }
  else if (key === "u") { if (last || waiting.length) { waiting.push({ undo: true }); chips(); send(); } }
  else if (key in LABELS) {
    waiting.push({ labels: { [sheet.units[shown].name]: LABELS[key] } });
    if (key !== "x" && shown < sheet.units.length - 1) show(shown + 1); else chips();
    send();
  } else return false;
  return true;
}

// Before the page's own keys: here g says good, and does not go anywhere.
document.addEventListener("keydown", (event) => {
  if (!sheet || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, summary")) return;
  if (press(event.key)) { event.preventDefault(); event.stopImmediatePropagation(); }
}, { capture: true });
for (const button of part("units-bar").querySelectorAll("[data-key]")) button.addEventListener("click", () => press(button.dataset.key));
window.addEventListener("beforeunload", (event) => { if (waiting.length) event.preventDefault(); });

async function begin() {
  try {
    const reply = await fetch(`/api/v1/recordings/${recording}/units/`);
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.detail);
    last = await ask();
    sheet = answer;
  } catch (error) {
    part("units-count").textContent = "Units";
    tell(error.message || "The server does not answer.");
    return;
  }
  part("units-rows").replaceChildren(...sheet.units.map((unit, k) => {
    const [row, button, name, mark] = ["li", "button", "span", "span"].map((tag) => document.createElement(tag));
    button.type = "button";
    name.textContent = unit.name;
    mark.className = "chip";
    button.append(name, mark);
    button.addEventListener("click", () => show(k));
    row.append(button);
    return row;
  }));
  part("units-sheet").hidden = false;
  part("units-bar").hidden = false;
  show(0, { scroll: false });
  new ResizeObserver(drawUnit).observe(part("units-sheet"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawUnit);
  setInterval(watch, WATCH_MS);
  section.dataset.ready = "";
}

begin();
