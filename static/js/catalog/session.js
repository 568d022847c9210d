// The session's page while the experiment runs: the clock, events as they come, recording, the table of recordings.

const toast = (text) => document.dispatchEvent(new CustomEvent("lab:toast", { detail: text }));

const page = document.getElementById("session");
const id = page.dataset.id;
const MOST_EVENTS = 200;

// ---- the clock
const duration = document.getElementById("duration");
const started = Date.parse(page.dataset.start);
const two = (n) => String(n).padStart(2, "0");

function showDuration() {
  const seconds = Math.max(0, Math.floor((Date.now() - started) / 1000));
  const days = Math.floor(seconds / 86400);
  const clock = `${two(Math.floor((seconds % 86400) / 3600))}:${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  duration.textContent = days ? `${days} d ${clock}` : clock;
}
if ("running" in page.dataset) setInterval(() => { if (!document.hidden) showDuration(); }, 1000);

// ---- events
const list = document.getElementById("events");
const count = document.getElementById("event-count");
const noEvents = document.getElementById("no-events");
const known = new Set([...list.children].map((row) => row.dataset.key));

function words(value) {
  if (value === null || value === "" || value === undefined) return "";
  if (typeof value !== "object" || Array.isArray(value)) return Array.isArray(value) ? value.join(", ") : String(value);
  return Object.entries(value).map(([name, part]) => {
    const plain = name.replaceAll("_", " ");
    if (part === true) return plain;
    if (part === false) return `not ${plain}`;
    return `${plain} ${typeof part === "object" ? JSON.stringify(part) : part}`;
  }).join(" · ");
}

function row(event) {
  const item = document.createElement("li");
  item.dataset.key = `${event.source}/${event.number ?? event.id}`;
  const time = document.createElement("time");
  time.dateTime = event.time;
  time.title = [event.source, event.offset_ms === null ? "" : `clock ${event.offset_ms} ms from the server's`].filter(Boolean).join(" · ");
  time.textContent = event.clock;
  const text = document.createElement("span");
  text.textContent = [event.kind, words(event.value)].filter(Boolean).join(" · ");
  item.append(time, text);
  item.classList.add("is-new");
  return item;
}

function addEvents(message) {
  for (const event of message.events) {
    const item = row(event);
    if (known.has(item.dataset.key)) continue;
    known.add(item.dataset.key);
    const after = [...list.children].find((other) => Date.parse(other.firstElementChild.dateTime) <= Date.parse(event.time));
    list.insertBefore(item, after ?? null);
  }
  while (list.children.length > MOST_EVENTS) { known.delete(list.lastElementChild.dataset.key); list.lastElementChild.remove(); }
  count.textContent = message.total;
  noEvents.hidden = list.children.length > 0;
}

// ---- recordings
const record = document.getElementById("record");
const stop = document.getElementById("stop");
const rec = document.getElementById("rec");

async function refreshRecordings() {
  const reply = await fetch(`/sessions/${id}/recordings/`, { headers: { "HX-Request": "true" } });
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("recordings");
  document.getElementById("recordings").replaceWith(fresh);
  window.htmx?.process(fresh);
  const tile = document.getElementById("recorded");
  tile.firstElementChild.textContent = fresh.dataset.size;
  tile.lastElementChild.textContent = fresh.dataset.count;
  const recording = fresh.querySelector(".chip-rec") !== null;
  rec.hidden = !recording;
  if (record && stop) { record.hidden = recording; stop.hidden = !recording; }
  const preflight = document.getElementById("preflight");
  if (preflight) preflight.hidden = recording;
}

async function post(button) {
  button.disabled = true;
  try {
    const headers = { ...JSON.parse(document.body.getAttribute("hx-headers")), "Content-Type": "application/json" };
    const reply = await fetch(button.dataset.url, { method: "POST", headers, body: "{}" });
    if (!reply.ok) {
      const answer = await reply.json().catch(() => ({}));
      toast(answer.detail ?? `The server answered ${reply.status}.`);
    }
    await refreshRecordings();
  } catch {
    toast("The server does not answer; nothing was changed.");
  } finally {
    button.disabled = false;
  }
}
record?.addEventListener("click", () => post(record));
stop?.addEventListener("click", () => post(stop));

// ---- news
const link = document.getElementById("link");
let wait = 500;
let wasOpen = false;

async function readAgain() {
  // What happened while nobody listened is in the rows.
  const reply = await fetch(location.pathname);
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
  list.replaceChildren(...fresh.getElementById("events").children);
  known.clear();
  for (const item of list.children) known.add(item.dataset.key);
  count.textContent = fresh.getElementById("event-count").textContent;
  noEvents.hidden = list.children.length > 0;
  await refreshRecordings();
}

function listen() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/sessions/${id}/`);
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "ready") {
      wait = 500;
      link.hidden = true;
      if (wasOpen) readAgain();
      wasOpen = true;
    } else if (message.type === "events") addEvents(message);
    else if (message.type === "recordings") refreshRecordings();
    else if (message.type === "session" && message.state === "ended" && "running" in page.dataset) location.reload();
  });
  socket.addEventListener("close", (event) => {
    if (event.code === 4401 || event.code === 4404) return;
    link.hidden = false;
    link.className = "chip chip-warn";
    link.textContent = "▲ not live: reconnecting";
    setTimeout(listen, wait);
    wait = Math.min(wait * 2, 10_000);
  });
}
listen();
