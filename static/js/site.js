// What every page has: the chip that says how the laboratory does, the keyboard, and errors of htmx in words.

const health = document.getElementById("health");
const disk = document.getElementById("disk");
const HEALTH_EVERY_MS = 20_000;

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function chip(element, kind, shape, text, title) {
  element.className = `chip ${kind} ${element === disk ? "chip-disk" : ""}`;
  const mark = document.createElement("span");
  mark.setAttribute("aria-hidden", "true");
  mark.textContent = shape;
  element.replaceChildren(...(shape ? [mark] : []), text);
  element.title = title;
  element.hidden = false;
}

async function askHealth() {
  if (document.hidden) return;
  try {
    const reply = await fetch(health.dataset.url, { headers: { Accept: "application/json" } });
    const parts = (await reply.json()).parts ?? {};
    const names = Object.keys(parts);
    const bad = names.filter((name) => !parts[name].ok);
    const title = names.map((name) => `${name}: ${parts[name].ok ? "serves" : parts[name].detail}`).join("\n");
    if (bad.length) chip(health, "chip-bad", "▲", `${bad.join(", ")} down`, title);
    else chip(health, "", "●", `${names.length} of ${names.length} services`, title);
    health.classList.toggle("is-good", !bad.length);
    const free = parts.disk?.free_bytes;
    if (Number.isFinite(free)) chip(disk, parts.disk.ok ? "" : "chip-bad", parts.disk.ok ? "" : "▲", `${bytes(free)} free`, "Disk of the laboratory's data");
  } catch {
    chip(health, "chip-bad", "▲", "server does not answer", "This page may show old data.");
  }
}

if (health) {
  askHealth();
  setInterval(askHealth, HEALTH_EVERY_MS);
  document.addEventListener("visibilitychange", askHealth);
}

// What is wrong with cameras and disk, on every page.
const alerts = document.getElementById("alerts");
const ALERTS_EVERY_MS = 5000;

async function askAlerts() {
  if (document.hidden) return;
  try {
    const reply = await fetch(alerts.dataset.url, { redirect: "error" });
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(`<ul>${await reply.text()}</ul>`, "text/html").querySelector("ul");
    // Said once to who listens: what is there already is not replaced.
    const words = (list) => [...list.children].map((row) => row.outerHTML).join("");
    if (words(fresh) !== words(alerts)) alerts.replaceChildren(...fresh.children);
  } catch {
    // The chip above says that the server does not answer.
  }
}

if (alerts) {
  askAlerts();
  setInterval(askAlerts, ALERTS_EVERY_MS);
  document.addEventListener("visibilitychange", askAlerts);
}

// Modules are served under hashed names, so they do not import each other: a toast is asked for by an event.
document.addEventListener("lab:toast", (event) => toast(event.detail));

function toast(text) {
  const element = document.getElementById("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { element.hidden = true; }, 6000);
}

// A part of the page that asks by itself every few seconds: the chip above says what is wrong, once.
const asksByItself = (event) => event.detail.elt?.getAttribute("hx-trigger")?.includes("every ");

document.body.addEventListener("htmx:responseError", (event) => {
  if (asksByItself(event)) return;
  const text = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").body.textContent.trim();
  toast(text.slice(0, 300) || `The server answered ${event.detail.xhr.status}.`);
});
document.body.addEventListener("htmx:sendError", (event) => {
  if (!asksByItself(event)) toast("The server does not answer; nothing was changed.");
});

// "/" searches; "g" and then a letter goes.
let goPressed = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector(".search input")?.focus();
  } else if (event.key === "g") {
    goPressed = Date.now();
  } else if (Date.now() - goPressed < 1200) {
    document.querySelector(`.top-nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
    goPressed = 0;
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// ---- one click, one thing

// A second click while the answer is on its way would do it twice: two comments, two chains.
const SENT_AGAIN_AFTER_MS = 10_000;

document.addEventListener("submit", (event) => {
  const form = event.target;
  // What a script or htmx sends is theirs to count.
  if (event.defaultPrevented || (event.submitter?.getAttribute("formmethod") ?? form.method) !== "post") return;
  if (performance.now() - Number(form.dataset.sent ?? -Infinity) < SENT_AGAIN_AFTER_MS) event.preventDefault();
  else form.dataset.sent = performance.now();
});

// Back to a page that the browser kept: nothing is on its way from it.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
