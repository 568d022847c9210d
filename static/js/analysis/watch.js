// A track over its video: what is drawn belongs to the frame that is shown, by the time that the player says it has.

const part = (id) => document.getElementById(id);
const section = part("watch");
const video = part("video");
const overlay = part("overlay");
const strip = part("strip");
const scrub = part("scrub");
const COLOURS = ["#ffd34d", "#6fe3ff", "#ff8ad1", "#9cff8a", "#ffa45c", "#c3a6ff", "#ffffff", "#5cc8ff"];
const NAMED = 24; // More body parts are drawn, and not named.

let track = null;
let shown = 0;

function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isLost = (row) => { for (let k = 0; k < track.names.length; k += 1) if (!Number.isNaN(track.points[(row * track.names.length + k) * 2])) return false; return true; };

// The last row whose time is not after a moment; half an interval early, since players round.
function rowAt(seconds) {
  let low = 0;
  let high = track.time.length - 1;
  const at = seconds + track.step / 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (track.time[middle] <= at) low = middle; else high = middle - 1;
  }
  return low;
}

// ---- the picture

function fit() {
  const box = video.getBoundingClientRect();
  const outer = overlay.parentElement.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  overlay.width = Math.round(box.width * ratio);
  overlay.height = Math.round(box.height * ratio);
  Object.assign(overlay.style, { left: `${box.left - outer.left}px`, top: `${box.top - outer.top}px`, width: `${box.width}px`, height: `${box.height}px` });
}

function paint(row) {
  const brush = overlay.getContext("2d");
  const [across, down] = [overlay.width / track.width, overlay.height / track.height];
  const ratio = window.devicePixelRatio || 1;
  const count = track.names.length;
  const at = (index, k) => [(track.points[(index * count + k) * 2] + 0.5) * across, (track.points[(index * count + k) * 2 + 1] + 0.5) * down];
  brush.clearRect(0, 0, overlay.width, overlay.height);
  const seconds = Number(part("trail").value);
  brush.lineJoin = "round";
  for (let k = 0; k < count; k += 1) {
    brush.strokeStyle = COLOURS[k % COLOURS.length];
    if (seconds && count <= 4) {
      const first = rowAt(track.time[row] - seconds);
      // In pieces that fade; a lost frame breaks the line rather than be bridged.
      const pieces = 12;
      for (let piece = 0; piece < pieces; piece += 1) {
        const [from, to] = [piece, piece + 1].map((n) => first + Math.round(((row - first) * n) / pieces));
        brush.globalAlpha = (piece + 1) / pieces * 0.9;
        brush.lineWidth = 2.5 * ratio;
        brush.beginPath();
        let pen = false;
        for (let index = from; index <= to; index += 1) {
          const [x, y] = at(index, k);
          if (Number.isNaN(x)) { pen = false; continue; }
          if (pen) brush.lineTo(x, y); else brush.moveTo(x, y);
          pen = true;
        }
        brush.stroke();
      }
      brush.globalAlpha = 1;
    }
    const [x, y] = at(row, k);
    if (Number.isNaN(x)) continue;
    const radius = (count === 1 ? 8 : 5) * ratio;
    brush.lineWidth = 5 * ratio;
    brush.strokeStyle = "rgb(0 0 0 / 70%)";
    brush.beginPath(); brush.arc(x, y, radius, 0, 7); brush.stroke();
    brush.lineWidth = 2.5 * ratio;
    brush.strokeStyle = COLOURS[k % COLOURS.length];
    brush.beginPath(); brush.arc(x, y, radius, 0, 7); brush.stroke();
    if (track.heading && !Number.isNaN(track.heading[row])) {
      const [dx, dy] = [Math.cos(track.heading[row]), Math.sin(track.heading[row])];
      for (const [colour, thick] of [["rgb(0 0 0 / 70%)", 5], [COLOURS[k % COLOURS.length], 2.5]]) {
        brush.strokeStyle = colour;
        brush.lineWidth = thick * ratio;
        brush.beginPath(); brush.moveTo(x + dx * radius, y + dy * radius); brush.lineTo(x + dx * radius * 3, y + dy * radius * 3); brush.stroke();
      }
    }
  }
}

// ---- the strip

function drawStrip() {
  const ratio = window.devicePixelRatio || 1;
  const box = strip.getBoundingClientRect();
  strip.width = Math.round(box.width * ratio);
  strip.height = Math.round(box.height * ratio);
  const brush = strip.getContext("2d");
  const { width, height } = strip;
  const foot = 12 * ratio;
  const rows = track.time.length;
  const [ink, bad, line] = [style("--accent"), style("--bad"), style("--line")];
  brush.fillStyle = line;
  brush.fillRect(0, height - foot, width, foot);
  for (let x = 0; x < width; x += 1) {
    const [from, to] = [rowOf(x / width), Math.max(rowOf((x + 1) / width), rowOf(x / width) + 1)];
    let most = 0;
    let lost = false;
    for (let row = from; row < Math.min(to, rows); row += 1) {
      if (track.speed[row] > most) most = track.speed[row];
      if (track.lost[row]) lost = true;
    }
    brush.fillStyle = ink;
    const tall = Math.min(1, most / track.most) * (height - foot - 4 * ratio);
    brush.fillRect(x, height - foot - 2 * ratio - tall, 1, tall);
    if (lost) { brush.fillStyle = bad; brush.fillRect(x, height - foot, 1, foot); }
  }
  track.strip = document.createElement("canvas");
  Object.assign(track.strip, { width, height });
  track.strip.getContext("2d").drawImage(strip, 0, 0);
  head();
}

const span = () => track.time[track.time.length - 1] - track.time[0] || 1;
const rowOf = (share) => rowAt(track.time[0] + share * span() - track.step / 2);

function head() {
  if (!track.strip) return;
  const brush = strip.getContext("2d");
  brush.clearRect(0, 0, strip.width, strip.height);
  brush.drawImage(track.strip, 0, 0);
  brush.fillStyle = style("--ink");
  brush.fillRect(((track.time[shown] - track.time[0]) / span()) * strip.width - 1, 0, 2 * (window.devicePixelRatio || 1), strip.height);
}

// ---- where it is

function show(row) {
  shown = row;
  paint(row);
  head();
  part("lost").hidden = !track.lost[row];
  scrub.value = row;
  const speed = track.speed[row];
  const words = track.lost[row] ? "lost" : Number.isNaN(speed) ? "speed not known" : `${speed.toFixed(1)} ${track.unit}/s`;
  part("now").textContent = `frame ${row + 1} of ${track.time.length} · ${track.time[row].toFixed(3)} s · ${words}`;
  scrub.setAttribute("aria-valuetext", part("now").textContent);
  section.dataset.row = row;
}

let wanted = null;

// One seek at a time: a player that is sent on before it has shown a picture shows none while the finger moves.
function go(row) {
  const bounded = Math.min(track.time.length - 1, Math.max(0, row));
  video.pause();
  show(bounded);
  if (video.seeking) { wanted = bounded; return; }
  wanted = null;
  // Within the frame, so that rounding does not show the one before it.
  video.currentTime = Math.max(0, track.time[bounded]) + track.step * 0.3;
}

video.addEventListener("seeked", () => { if (wanted !== null) go(wanted); });

// Told by the player with the time of the very frame that it has put on the screen.
function follow() {
  video.requestVideoFrameCallback((_, { mediaTime }) => {
    if (!video.seeking && wanted === null && !video.paused) show(rowAt(mediaTime));
    section.dataset.picture = rowAt(mediaTime);
    follow();
  });
}

function play() {
  if (video.paused) { video.playbackRate = Number(part("rate").value); video.play(); } else video.pause();
}

for (const name of ["play", "pause", "ended"]) video.addEventListener(name, () => {
  part("play").textContent = video.paused ? "Play" : "Pause";
  if (video.paused && track && name === "pause") show(Number(section.dataset.picture ?? shown));
});
part("play").addEventListener("click", play);
part("previous").addEventListener("click", () => go(shown - 1));
part("next").addEventListener("click", () => go(shown + 1));
part("next-lost").addEventListener("click", () => {
  let row = shown + 1;
  while (row < track.lost.length && !(track.lost[row] && !track.lost[row - 1])) row += 1;
  go(row < track.lost.length ? row : track.lost.indexOf(1));
});
part("rate").addEventListener("change", () => { video.playbackRate = Number(part("rate").value); });
part("trail").addEventListener("change", () => track && paint(shown));
scrub.addEventListener("input", () => go(Number(scrub.value)));
const toStrip = (event) => { const box = strip.getBoundingClientRect(); go(rowOf(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)))); };
strip.addEventListener("pointerdown", (event) => { if (!track) return; strip.setPointerCapture(event.pointerId); toStrip(event); });
strip.addEventListener("pointermove", (event) => { if (track && strip.hasPointerCapture(event.pointerId)) toStrip(event); });

// ---- the beginning

function names() {
  part("names").replaceChildren(...(track.names.length > 1 ? track.names.slice(0, NAMED) : []).map((name, k) => {
    const row = document.createElement("li");
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 6, cy: 6, r: 5, fill: COLOURS[k % COLOURS.length], stroke: "#000" })) dot.setAttribute(key, value);
    mark.append(dot);
    row.append(mark, name);
    return row;
  }));
}

async function begin() {
  const reply = await fetch(section.dataset.track);
  if (!reply.ok) {
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    part("wait").textContent = page.querySelector("main")?.textContent.trim().replace(/\s+/g, " ") || "The track cannot be read.";
    return;
  }
  const packed = await reply.json();
  const time = unpacked(packed.time, Float64Array);
  const steps = Array.from(time.subarray(1), (value, k) => value - time[k]).sort((a, b) => a - b);
  track = { ...packed, time, speed: unpacked(packed.speed, Float32Array), points: unpacked(packed.points, Float32Array), heading: packed.heading && unpacked(packed.heading, Float32Array), step: steps[steps.length >> 1] || 0.04 };
  track.lost = Uint8Array.from(time, (_, row) => isLost(row));
  const known = Array.from(track.speed).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  track.most = known[Math.floor(known.length * 0.995)] || 1;
  const lost = track.lost.reduce((sum, value) => sum + value, 0);
  part("unit").textContent = `up to ${track.most.toFixed(1)} ${track.unit}/s`;
  part("facts").textContent = `Lost in ${lost} of ${time.length} frames; they are red beneath the speed, and nothing is drawn in them.`;
  scrub.max = time.length - 1;
  for (const element of [scrub, part("previous"), part("play"), part("next")]) element.disabled = false;
  part("next-lost").disabled = !lost;
  names();
  const ready = () => {
    part("wait").hidden = true;
    new ResizeObserver(() => { fit(); paint(shown); drawStrip(); }).observe(video);
    fit();
    drawStrip();
    follow();
    go(0);
    section.dataset.ready = "";
  };
  if (video.readyState >= 1) ready(); else video.addEventListener("loadedmetadata", ready, { once: true });
}

video.addEventListener("error", () => { part("wait").hidden = false; part("wait").textContent = "This browser cannot play the video."; });
begin();
