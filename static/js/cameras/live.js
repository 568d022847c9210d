// Every element with data-live becomes a live picture that tells its age; only what is seen is streamed.
// Sends "camera:state" from the element when the state of its camera changes.

const FROZEN_AFTER = 2000;
const TICK = 250;

const tiles = [...document.querySelectorAll("[data-live]")];
const workerUrl = document.querySelector("[data-live-worker]")?.dataset.liveWorker;
const offscreen = "OffscreenCanvas" in window && "transferControlToOffscreen" in HTMLCanvasElement.prototype;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

let worker = null;
const byId = new Map();
let offset = 0;

function startWorker() {
  const made = new Worker(workerUrl, { type: "module" });
  made.onmessage = ({ data }) => byId.get(data.id)?.hear(data);
  return made;
}

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function ageText(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return duration(milliseconds / 1000);
}

class Tile {
  constructor(element, id) {
    this.element = element;
    this.id = id;
    this.part = (name) => element.querySelector(`[data-part="${name}"]`);
    this.parts = Object.fromEntries(["veil", "what", "why", "age", "rec", "trouble", "small"].map((name) => [name, this.part(name)]));
    this.received = null;
    this.captured = null;
    this.state = null;
    this.link = false;
    this.refused = "";
    this.since = Date.now();
    this.visible = false;
    this.active = false;
    this.rate = 0;
    this.counted = [performance.now(), 0];
    this.frames = 0;
  }

  async open() {
    const canvas = this.element.querySelector("canvas");
    const address = new URL(this.element.dataset.live, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (offscreen) {
      worker ??= startWorker();
      const surface = canvas.transferControlToOffscreen();
      worker.postMessage({ type: "open", id: this.id, url: address.href, canvas: surface }, [surface]);
    } else {
      const { Stream } = await import(workerUrl);
      this.stream = new Stream(canvas, address.href, (message) => this.hear(message));
    }
    this.ready = true;
    this.follow();
  }

  follow() {
    const wanted = this.visible && !document.hidden;
    if (!this.ready || wanted === this.active) return;
    this.active = wanted;
    if (wanted) this.since = Date.now();
    const type = wanted ? "resume" : "pause";
    if (this.stream) this.stream[type]();
    else worker.postMessage({ type, id: this.id });
  }

  hear(message) {
    if (message.kind === "frame") {
      this.received = message.received;
      this.captured = message.captured;
      this.frames = message.frames;
      this.element.dataset.sequence = message.sequence;
      this.element.dataset.frames = message.frames;
      this.element.dataset.codec = message.codec;
    } else if (message.kind === "preview") {
      this.element.dataset.rendition = "preview";
      this.parts.small.hidden = false;
    } else if (message.kind === "clock") {
      offset = message.offset;
    } else if (message.kind === "state") {
      if (!offset) offset = message.offset;
      const before = JSON.stringify([this.state?.recording, this.state?.live]);
      this.state = message.state;
      if (before !== JSON.stringify([this.state.recording, this.state.live])) {
        this.element.dispatchEvent(new CustomEvent("camera:state", { bubbles: true, detail: this.state }));
      }
    } else if (message.kind === "link") {
      this.link = message.open;
      this.refused = message.final ? message.reason || "The server does not show this camera." : "";
      if (message.code === 4401) this.refused = "You are logged out. Log in again to see the cameras.";
    }
    if (message.kind !== "frame") this.show();
  }

  // When the newest picture was taken, in ms on the server's clock; null while there was none. A picture that waited on
  // the way to the server is as old as its capture; where the agent's clock is not known, as its arrival.
  taken() {
    if (this.received === null) return null;
    const ahead = this.state?.agent_ahead_ms ?? null;
    return ahead === null ? this.received : Math.min(this.received, this.captured - ahead);
  }

  age() {
    const taken = this.taken();
    return taken === null ? null : Date.now() + offset - taken;
  }

  show() {
    if (!this.active) return;
    const age = this.age();
    const waiting = Date.now() - this.since;
    const stale = age === null ? waiting > FROZEN_AFTER : age > FROZEN_AFTER;
    const bad = Boolean(this.refused) || stale || (this.state !== null && !this.state.live && waiting > 1000);
    this.element.dataset.condition = bad ? "bad" : age === null ? "waiting" : "live";
    this.parts.veil.hidden = !bad;
    if (bad) {
      // The server says that all is well: then the picture that is here says how old it is.
      const late = this.link && this.state?.live && age !== null;
      const seen = late ? this.taken() : this.state?.last_picture_ns ? this.state.last_picture_ns / 1e6 : this.received;
      const last = seen && seen - offset;
      const quiet = last ? Date.now() - last : waiting;
      const span = quiet < 60_000 ? `${Math.max(1, Math.floor(quiet / 1000))} s` : duration(quiet / 1000);
      const reason = this.link ? this.state?.reason || (late && "pictures come late") : "the server does not answer, reconnecting";
      this.parts.what.textContent = this.refused || (last ? `no picture for ${span}` : "no picture");
      this.parts.why.textContent = [last && `last seen ${clock.format(last)}`, !this.refused && reason].filter(Boolean).join(" · ");
    }
    this.parts.age.textContent = age === null ? "–" : ageText(age);
    const recording = this.state?.recording;
    this.parts.rec.hidden = !recording;
    if (recording) this.parts.rec.lastElementChild.textContent = `REC ${duration((Date.now() + offset) / 1000 - recording.since)}`;
    this.parts.trouble.textContent = this.state?.trouble ?? "";
    this.parts.trouble.hidden = !this.state?.trouble;
  }

  count() {
    const [since, frames] = this.counted;
    const elapsed = performance.now() - since;
    if (elapsed < 1000) return;
    this.rate = this.active ? ((this.frames - frames) / elapsed) * 1000 : 0;
    this.counted = [performance.now(), this.frames];
  }
}

const all = tiles.map((element, id) => new Tile(element, id));
all.forEach((tile) => byId.set(tile.id, tile));

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const tile = all.find((one) => one.element === entry.target);
    tile.visible = entry.isIntersecting;
    tile.follow();
  }
}, { rootMargin: "80px" });

for (const tile of all) {
  tile.open();
  watcher.observe(tile.element);
}
document.addEventListener("visibilitychange", () => all.forEach((tile) => tile.follow()));
window.addEventListener("pagehide", () => all.forEach((tile) => { tile.visible = false; tile.follow(); }));
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// ---- the line that sums up the wall

const summary = Object.fromEntries([...document.querySelectorAll("[data-sum]")].map((element) => [element.dataset.sum, element]));

function plural(count, one, many) { return `${count} ${count === 1 ? one : many}`; }

setInterval(() => {
  for (const tile of all) { tile.count(); tile.show(); }
  if (!summary.recording) return;
  const recording = all.filter((tile) => tile.state?.recording).length;
  const blind = all.filter((tile) => tile.element.dataset.condition === "bad").length;
  const rate = all.reduce((sum, tile) => sum + tile.rate, 0);
  summary.recording.hidden = !recording;
  summary.recording.lastElementChild.textContent = plural(recording, "camera recording", "cameras recording");
  summary.blind.hidden = !blind;
  summary.blind.lastElementChild.textContent = plural(blind, "camera without a picture", "cameras without a picture");
  summary.rate.textContent = `${Math.round(rate)} pictures/s`;
}, TICK);
