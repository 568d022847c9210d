// A recording's page: the timeline under the video, scrubbing from frame to frame, and figures of the frames' times.
// All times are seconds since the first frame, as the video counts them.

const SVG = "http://www.w3.org/2000/svg";
const section = document.getElementById("timeline");
const api = section.dataset.url;
const part = (id) => document.getElementById(id);
const scrub = part("scrub");
const now = part("now");
const video = () => document.getElementById("video");
const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const MOST_LANES = 8;

let times = null;
let frame = null;

function element(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function html(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function secondsText(seconds) {
  const whole = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return `${hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}` : Math.floor(whole / 60)}:${(seconds % 60).toFixed(3).padStart(6, "0")}`;
}

// ---- going to a time

let pending = null;

function showTime(seconds) {
  scrub.value = seconds;
  scrub.setAttribute("aria-valuetext", `${seconds.toFixed(3)} s`);
  for (const head of document.querySelectorAll(".playhead")) {
    const x = Number(head.dataset.left) + (times.duration ? seconds / times.duration : 0) * Number(head.dataset.width);
    head.setAttribute("transform", `translate(${x} 0)`);
  }
}

// One seek at a time: a player that is sent on before it has shown a picture shows none while the finger moves.
function seek(seconds) {
  const player = video();
  if (!player) {
    ask(`seconds=${seconds}`).then((found) => { if (found) showTime(found.seconds); });
    return;
  }
  if (player.seeking) {
    pending = seconds;
    return;
  }
  pending = null;
  player.currentTime = seconds;
}

function go(seconds) {
  const bounded = Math.min(Math.max(0, seconds), times.duration);
  video()?.pause();
  showTime(bounded);
  seek(bounded);
}

// ---- which frame it is

let asked = 0;

async function ask(query) {
  asked += 1;
  const mine = asked;
  section.dataset.settled = "";
  try {
    const reply = await fetch(`${api}frame/?${query}`, { headers: { Accept: "application/json" } });
    if (!reply.ok || mine !== asked) return null;
    frame = await reply.json();
  } catch {
    return null; // The next movement asks again.
  }
  now.textContent = `frame ${frame.sequence} · ${secondsText(frame.seconds)} · captured ${clockFormat.format(frame.captured_ns / 1e6)}`;
  section.dataset.sequence = frame.sequence;
  section.dataset.settled = "1";
  part("previous").disabled = frame.previous === null;
  part("next").disabled = frame.next === null;
  return frame;
}

let shown = 0;
let waiting = null;
let stepping = 0;

function settle(seconds) {
  if (stepping) return; // Of the frame that is being left; its question must not take the place of the step's.
  shown = seconds;
  showTime(seconds);
  section.dataset.settled = "";
  clearTimeout(waiting);
  waiting = setTimeout(() => ask(`seconds=${shown}`), 80);
}

async function step(sequence) {
  if (sequence === null || sequence === undefined) return;
  video()?.pause();
  clearTimeout(waiting);
  stepping += 1;
  const found = await ask(`sequence=${sequence}`);
  stepping -= 1;
  if (!found) return;
  showTime(found.seconds);
  if (video()) seek(found.seek);
}

function follow(player) {
  const watch = () => player.requestVideoFrameCallback((_, picture) => {
    // The time of the picture that is on the screen, not the one that was asked for.
    if (pending === null) settle(picture.mediaTime);
    watch();
  });
  if (player.requestVideoFrameCallback) watch();
  else player.addEventListener("timeupdate", () => settle(player.currentTime));
  player.addEventListener("seeked", () => { if (pending !== null) seek(pending); });
  player.addEventListener("play", () => { part("play").textContent = "Pause"; });
  player.addEventListener("pause", () => { part("play").textContent = "Play"; });
  part("play").disabled = false;
}

// ---- the lanes

function lanes() {
  const box = part("lanes");
  const width = Math.max(240, box.clientWidth);
  const kinds = [...times.events].sort((a, b) => b.count - a.count);
  const rows = [{ label: `lost frames: ${times.lost.frames}`, lost: true }, ...trialRows(), ...kinds.slice(0, MOST_LANES).map((kind) => ({ label: `${kind.kind}: ${kind.count}`, seconds: kind.seconds }))];
  if (kinds.length > MOST_LANES) {
    const rest = kinds.slice(MOST_LANES);
    rows.push({ label: `${rest.length} other kinds: ${rest.reduce((sum, kind) => sum + kind.count, 0)}`, seconds: rest.flatMap((kind) => kind.seconds) });
  }
  const high = 30;
  const scale = (seconds) => (times.duration ? seconds / times.duration : 0) * width;
  const words = rows.map((row) => row.label).join(", ");
  const svg = element("svg", { viewBox: `0 0 ${width} ${rows.length * high}`, width, height: rows.length * high, role: "img", "aria-label": `Timeline of ${times.duration.toFixed(1)} s; ${words}` });
  rows.forEach((row, number) => {
    const top = number * high;
    svg.append(element("rect", { class: "lane", x: 0, y: top + 15, width, height: 13 }));
    svg.append(element("text", { x: 0, y: top + 11 }, row.label));
    if (row.lost) {
      for (const gap of times.lost.longest) {
        const left = scale(gap.after ?? 0);
        const right = scale(gap.before ?? times.duration);
        const mark = element("rect", { class: "lost-mark", x: Math.min(left, width - 3), y: top + 13, width: Math.max(3, right - left), height: 17 });
        mark.append(element("title", {}, `${gap.frames} lost: ${gap.first} to ${gap.last}`));
        svg.append(mark);
      }
      return;
    }
    if (row.spans) {
      for (const span of row.spans) {
        const left = Math.min(scale(span.start), width - 2);
        const mark = element("rect", { class: "trial-mark", x: left, y: top + 16, width: Math.max(2, scale(span.stop) - left - 1), height: 11, rx: 1 });
        const numbers = span.first === span.last ? `trial ${span.first}` : `trials ${span.first} to ${span.last}`;
        mark.append(element("title", {}, `${numbers}, ${(span.stop - span.start).toFixed(3)} s${row.outcome ? `: ${row.outcome}` : ""}`));
        svg.append(mark);
      }
      return;
    }
    const marks = row.seconds.map((seconds) => `M${scale(seconds).toFixed(1)} ${top + 15}v13`).join("");
    svg.append(element("path", { class: "event-mark", d: marks }));
  });
  svg.append(playhead(0, width, rows.length * high));
  svg.addEventListener("click", (event) => {
    const place = svg.getBoundingClientRect();
    go(((event.clientX - place.left) / place.width) * times.duration);
  });
  box.replaceChildren(svg);
  if (times.trials.problem) box.append(html("p", "muted small", `No trials: ${times.trials.problem}`));
}

// A lane for each outcome, so that the word stands beside the mark; the rarest share one.
function trialRows() {
  const outcomes = [...times.trials.outcomes].sort((a, b) => b.count - a.count);
  const label = (outcome) => (outcome ? `trials, ${outcome}` : "trials");
  const rows = outcomes.slice(0, MOST_LANES).map((one) => ({ label: `${label(one.outcome)}: ${one.count}`, outcome: one.outcome, spans: one.spans }));
  const rest = outcomes.slice(MOST_LANES);
  if (rest.length) rows.push({ label: `trials, ${rest.length} other outcomes: ${rest.reduce((sum, one) => sum + one.count, 0)}`, outcome: "", spans: rest.flatMap((one) => one.spans) });
  return rows;
}

function playhead(left, width, height) {
  const head = element("g", { class: "playhead", "data-left": left, "data-width": width });
  head.append(element("line", { x1: 0, x2: 0, y1: 0, y2: height }));
  return head;
}

// ---- the figures

function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].find((one) => one * power >= raw) * power;
  const found = [];
  for (let value = Math.ceil(low / unit) * unit; value <= high + unit * 1e-6; value += unit) found.push(Number(value.toPrecision(10)));
  return found;
}

const short = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

function curve(box, { seconds, least, middle, most, unit, words }) {
  if (!seconds.length) {
    box.replaceChildren(html("p", "muted", "Nothing was measured."));
    return;
  }
  const width = Math.max(240, box.clientWidth);
  const height = 190;
  const left = 52;
  const bottom = height - 24;
  const top = 8;
  const right = width - 10;
  let low = Math.min(...least);
  let high = Math.max(...most);
  // One long gap must not press all other intervals into a line.
  const logarithmic = low > 0 && high / low > 20;
  const bend = logarithmic ? Math.log10 : (value) => value;
  if (high - low < 1e-9) { low -= 1; high += 1; }
  const y = (value) => bottom - ((bend(value) - bend(low)) / (bend(high) - bend(low))) * (bottom - top);
  const x = (value) => left + (times.duration ? Math.min(1, Math.max(0, value / times.duration)) : 0) * (right - left);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words });
  const steps = logarithmic
    ? Array.from({ length: 8 }, (_, power) => 10 ** (Math.floor(Math.log10(low)) + power)).flatMap((one) => [one, 2 * one, 5 * one]).filter((one) => one >= low && one <= high)
    : ticks(low, high, 4);
  const kept = steps.length > 6 ? steps.filter((one) => String(one).replace(/[.0]/g, "")[0] === "1") : steps;
  for (const value of kept.length ? kept : [low, high]) {
    svg.append(element("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    svg.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const value of ticks(0, times.duration, width < 420 ? 3 : 6)) svg.append(element("text", { x: x(value), y: height - 6, "text-anchor": value === 0 ? "start" : "middle" }, `${short(value)} s`));
  svg.append(element("text", { x: left + 4, y: top + 10 }, unit));
  const line = (values) => values.map((value, number) => `${number ? "L" : "M"}${x(seconds[number]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const back = [...seconds.keys()].reverse().map((number) => `L${x(seconds[number]).toFixed(1)} ${y(least[number]).toFixed(1)}`).join("");
  svg.append(element("path", { class: "band", d: `${line(most)}${back}Z` }));
  svg.append(element("path", { class: "line", d: line(middle) }));
  svg.append(playhead(left, right - left, bottom));
  svg.addEventListener("click", (event) => {
    const place = svg.getBoundingClientRect();
    const inside = ((event.clientX - place.left) / place.width) * width;
    go(((inside - left) / (right - left)) * times.duration);
  });
  box.replaceChildren(svg);
}

function figures() {
  const intervals = times.intervals;
  const facts = intervals.median_ms === null ? "" : `median ${intervals.median_ms.toFixed(2)} ms, 99 % below ${intervals.p99_ms.toFixed(2)} ms, largest ${intervals.largest_ms.toFixed(1)} ms; ${intervals.late} longer than 1.5 medians`;
  part("interval-facts").textContent = facts;
  curve(part("intervals"), { ...intervals, unit: "ms", words: `Intervals between frames: ${facts}` });
  const clock = times.clock;
  const drift = clock.drift_ppm === null ? "" : `, drift ${clock.drift_ppm.toFixed(2)} ppm`;
  const about = clock.offset_ms === null ? "" : `${clock.offset_ms.toFixed(3)} ms at the end${drift}; ${clock.samples} samples, error below ${(clock.delay_ms / 2).toFixed(2)} ms`;
  part("clock-facts").textContent = about;
  curve(part("clock"), {
    seconds: clock.seconds,
    middle: clock.offsets_ms,
    least: clock.offsets_ms.map((value, number) => value - clock.bounds_ms[number]),
    most: clock.offsets_ms.map((value, number) => value + clock.bounds_ms[number]),
    unit: "ms",
    words: `Offset of the agent's clock: ${about}`,
  });
}

function lost() {
  const box = part("lost");
  if (!times.lost.gaps) {
    box.replaceChildren(html("p", "lost-zero", "No frame was lost."));
    return;
  }
  const listed = times.lost.longest;
  const more = times.lost.gaps > listed.length ? ` The ${listed.length} longest of ${times.lost.gaps} gaps:` : "";
  const list = html("ul", "gaps");
  for (const gap of listed) {
    const item = document.createElement("li");
    const button = html("button", "button button-quiet", gap.after === null ? "at the start" : secondsText(gap.after));
    button.type = "button";
    button.addEventListener("click", () => go(gap.after ?? 0));
    const numbers = gap.frames === 1 ? `frame ${gap.first}` : `${gap.frames} frames, ${gap.first} to ${gap.last}`;
    const length = gap.after !== null && gap.before !== null ? `, ${(gap.before - gap.after).toFixed(3)} s without a picture` : "";
    item.append(button, html("span", "", `${numbers}${length}`));
    list.append(item);
  }
  box.replaceChildren(html("h3", "", `Lost frames: ${times.lost.frames}.${more}`), list);
}

function draw() {
  lanes();
  figures();
  showTime(Number(scrub.value));
}

// ---- begin

async function begin() {
  const reply = await fetch(`${api}timing/`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!reply?.ok) {
    const why = (await reply?.json().catch(() => null))?.detail ?? "The server does not answer.";
    part("lanes").replaceChildren(html("p", "alert alert-warn", why));
    return;
  }
  times = await reply.json();
  scrub.max = times.duration;
  scrub.disabled = false;
  draw();
  lost();
  let width = 0;
  new ResizeObserver(() => {
    if (part("lanes").clientWidth === width) return;
    width = part("lanes").clientWidth;
    draw();
  }).observe(part("lanes"));
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  scrub.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    step(event.key === "ArrowLeft" ? frame?.previous : frame?.next);
  });
  part("previous").addEventListener("click", () => step(frame?.previous));
  part("next").addEventListener("click", () => step(frame?.next));
  part("play").addEventListener("click", () => { const player = video(); if (player) player.paused ? player.play() : player.pause(); });
  part("cut-start").addEventListener("click", () => { part("cut-from").value = (frame?.seconds ?? 0).toFixed(3); });
  part("cut-stop").addEventListener("click", () => { part("cut-to").value = (frame?.seconds ?? 0).toFixed(3); });
  if (video()) follow(video());
  // The copy for the browser may come while the page is open.
  document.body.addEventListener("htmx:afterSwap", () => { if (video() && part("play").disabled) follow(video()); });
  await ask("seconds=0");
}
begin();
