// The animal room. What is typed is first kept in the browser, then sent; the server takes each once, by its key.

const panel = document.querySelector("[data-care]");
const user = Number(panel.dataset.user);
const RETRY_MS = 10_000;
const LONGEST_SIDE = 1600;
// A weight that differs by more than this from the one before is asked for twice: it is often a slip of the finger.
const STRANGE = 0.25;
// Answers that say that the same may work later.
const LATER = new Set([401, 408, 425, 429]);
// A phone's clock that is wrong by more is put right by the server's. A slow answer looks like a clock wrong by less.
const CLOCK_ERROR_MS = 120_000;

// ---- what waits, in the browser

const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open("labsite-care", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("waiting", { keyPath: "key" });
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function inStore(mode, work) {
  const database = await opened;
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("waiting", mode, { durability: "strict" });
    const request = work(transaction.objectStore("waiting"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error ?? request.error);
  });
}

async function all() {
  const rows = await inStore("readonly", (store) => store.getAll());
  return rows.sort((a, b) => a.created - b.created || a.key.localeCompare(b.key));
}

function newKey() {
  // crypto.randomUUID is missing where a page comes over plain http, as in most laboratories.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `care-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function entryOf(address, body, label, row) {
  return { key: newKey(), user, address, body, label, row, created: Date.now(), problem: "" };
}

/** Keep all of them or none, so that a page left in between leaves no cage half watered. */
async function keep(entries) {
  await inStore("readwrite", (store) => entries.map((entry) => store.put(entry)).at(-1));
  await show();
  send();
}

/** Change what waits, unless it is gone; return what it was. */
async function change(entry, changed) {
  return inStore("readwrite", (store) => {
    const found = store.get(entry.key);
    found.onsuccess = () => { if (found.result) store.put(changed(found.result)); };
    return found;
  });
}

// ---- sending

function cookie(name) {
  return document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

/** By how many ms this phone's clock is ahead of the server's; null when somebody else, or nobody, is logged in. */
async function aheadOfServer() {
  const asked = Date.now();
  const reply = await fetch(panel.dataset.who, { redirect: "manual", headers: { Accept: "application/json" } });
  const answer = reply.ok ? await reply.json() : {};
  return answer.user === user ? (asked + Date.now()) / 2 - answer.now : null;
}

function dated(entry, ahead) {
  if ("ahead" in entry) return entry;
  if (Math.abs(ahead) < CLOCK_ERROR_MS) return { ...entry, ahead: 0 };
  const time = new Date(Date.parse(entry.body.time) - ahead).toISOString();
  return { ...entry, ahead, body: { ...entry.body, time } };
}

let sending = false;
let again = false;
let reason = "";
const KEPT = "✓ kept on the server";

async function send() {
  if (sending) { again = true; return; }
  sending = true;
  try {
    do {
      again = false;
      await sendAll();
    } while (again);
  } finally {
    sending = false;
    await show();
  }
}

async function sendAll() {
  const mine = (await all()).filter((entry) => entry.user === user && !entry.problem);
  if (!mine.length) return;
  // Read before it is asked who is logged in: a login in another tab changes it, and what is still to be sent is then
  // refused instead of being taken as somebody else's.
  const token = cookie("csrftoken");
  try {
    const ahead = await aheadOfServer();
    if (ahead === null) {
      reason = "You are not logged in any more; log in, and it is sent.";
      return;
    }
    reason = "";
    for (const entry of mine) {
      // Once, and for every tab: what is sent under a key must stay the same.
      const before = await change(entry, (waits) => dated(waits, ahead));
      if (before && !(await sendOne(dated(before, ahead), token))) return;
      if (!before) tell(entry, KEPT, "good");
    }
  } catch {
    reason = "The server does not answer; it is sent when it does.";
  }
}

/** Send one; whether the next should be tried. Two tabs that send the same do no harm: the server knows the key. */
async function sendOne(entry, token) {
  const reply = await fetch(entry.address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": entry.key, "X-CSRFToken": token },
    body: JSON.stringify(entry.body),
  });
  if (reply.ok) {
    await inStore("readwrite", (store) => store.delete(entry.key));
    tell(entry, KEPT + clockWords(entry.ahead), "good");
    await show();
    return true;
  }
  const detail = (await reply.json().catch(() => ({}))).detail ?? `The server answered ${reply.status}.`;
  const loggedInAnew = detail.startsWith("CSRF");
  if (LATER.has(reply.status) || reply.status >= 500 || loggedInAnew) {
    reason = loggedInAnew ? "Somebody logged in anew in this browser." : detail;
    // What the server fails over may be this one alone; the others are not to wait for it.
    return reply.status === 500;
  }
  await inStore("readwrite", (store) => store.put({ ...entry, problem: detail }));
  tell(entry, `▲ ${detail}`, "alarm");
  await show();
  return true;
}

function clockWords(ahead) {
  if (!ahead) return "";
  const minutes = Math.round(Math.abs(ahead) / 60_000);
  const span = minutes < 90 ? `${minutes} min` : minutes < 2880 ? `${(minutes / 60).toFixed(1)} h` : `${Math.round(minutes / 1440)} days`;
  return `, with the server's time: this clock is ${span} ${ahead > 0 ? "fast" : "slow"}`;
}

function tell(entry, text, condition) {
  const form = entry.row && document.querySelector(`form[data-last="${entry.key}"]`);
  if (form) say(form, text, condition);
}

// ---- what waits, on the page

async function show() {
  const entries = await all();
  const mine = entries.filter((entry) => entry.user === user);
  const others = entries.length - mine.length;
  const refused = mine.filter((entry) => entry.problem);
  const waiting = mine.length - refused.length;
  const parts = [];
  if (waiting) parts.push(`${waiting} ${waiting === 1 ? "waits" : "wait"} to be sent. ${reason}`.trim());
  if (refused.length) parts.push(`${refused.length} refused.`);
  if (others) parts.push(`${others} of somebody else ${others === 1 ? "waits" : "wait"} in this browser for their login.`);
  panel.querySelector("[data-part=sum]").textContent = parts.join(" ");
  panel.querySelector("[data-part=list]").replaceChildren(...mine.map(line));
  panel.hidden = !entries.length;
  panel.dataset.waiting = waiting;
}

function line(entry) {
  const item = document.createElement("li");
  item.dataset.key = entry.key;
  const text = document.createElement("span");
  text.textContent = entry.problem ? `▲ ${entry.label}: ${entry.problem}` : entry.label;
  item.append(text);
  if (entry.problem) {
    item.className = "refused";
    const again = (waits) => ({ ...waits, problem: "" });
    const buttons = document.createElement("span");
    buttons.className = "actions";
    buttons.append(button("Try again", () => change(entry, again)));
    if (entry.body.photo && entry.body.text) {
      buttons.append(button("Send without the photo", () => change(entry, (waits) => {
        const { photo, ...body } = waits.body;
        return again({ ...waits, body });
      })));
    }
    buttons.append(button("Discard", () => inStore("readwrite", (store) => store.delete(entry.key))));
    item.append(buttons);
  }
  return item;
}

function button(words, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "button";
  made.textContent = words;
  made.addEventListener("click", async () => {
    await act();
    await show();
    send();
  });
  return made;
}

// ---- weights and water

function say(form, text, condition = "") {
  const told = form.querySelector("[data-part=told]");
  told.textContent = text;
  told.className = `told ${condition ? `is-${condition}` : ""}`;
  form.classList.toggle("is-low", condition === "low");
  form.classList.toggle("is-alarm", condition === "alarm");
}

function number(text) {
  const plain = text.trim().replace(",", ".");
  return /^(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : NaN;
}

/** What a weight means: percentage of the reference, change since the last time; the server judges by the same rule. */
function judged(form, weight) {
  const { previous, reference, expected, alarm } = form.dataset;
  const words = [];
  let condition = "good";
  if (reference) {
    const percentage = (100 * weight) / Number(reference);
    words.push(`${percentage.toFixed(1)} % of ${reference} g`);
    if (percentage < Number(alarm)) condition = "alarm";
    else if (percentage < Number(expected)) condition = "low";
    if (condition === "alarm") words.push(`below the limit of ${alarm} %: end the restriction`);
    if (condition === "low") words.push(`below the expected ${expected} %`);
  }
  let strange = false;
  if (previous) {
    const change = weight / Number(previous) - 1;
    words.push(`${change < 0 ? "−" : "+"}${Math.abs(100 * change).toFixed(1)} % since ${previous} g`);
    strange = Math.abs(change) > STRANGE;
    if (strange && condition === "good") condition = "low";
  }
  const mark = condition === "good" ? "" : "▲ ";
  return { text: mark + words.join(" · "), condition: words.length ? condition : "", strange };
}

/** Keep the entries of forms, and tell in each form where its own is; false where the browser cannot keep them. */
async function keepOf(pairs) {
  try {
    await keep(pairs.map(([, entry]) => entry));
  } catch {
    for (const [form] of pairs) say(form, "▲ Not kept: this browser could not. Open the page again; a private window or a full disk keeps nothing.", "alarm");
    return false;
  }
  for (const [form, entry] of pairs) {
    form.dataset.last = entry.key;
    say(form, "kept in this browser");
  }
  // Sent meanwhile, before the form knew the key.
  const waiting = new Set((await all()).map((entry) => entry.key));
  for (const [form, entry] of pairs) if (!waiting.has(entry.key)) say(form, KEPT, "good");
  return true;
}

function amountOf(form, amount) {
  const { entry: kind, animal, name, address } = form.dataset;
  const time = new Date().toISOString();
  const body = kind === "weigh" ? { animal, time, weight: amount } : { animal, time, kind: "water", amount, unit: "mL" };
  return entryOf(address, body, kind === "weigh" ? `${name}: ${amount} g` : `${name}: ${amount} mL of water`, animal);
}

/** Keep an amount for each form. The field is emptied at once: pressed again, there is nothing to keep a second time. */
async function keepAmount(field, amount, forms) {
  field.value = "";
  if (!(await keepOf(forms.map((form) => [form, amountOf(form, amount)])))) field.value = amount;
  else for (const form of forms) if (form.dataset.entry === "weigh") form.dataset.previous = amount;
}

const forms = [...document.querySelectorAll("form[data-entry]")];

for (const form of forms) {
  const field = form.elements.amount;
  let confirmed = null;
  field.addEventListener("input", () => {
    confirmed = null;
    const amount = number(field.value);
    if (!field.value.trim()) say(form, "");
    else if (!(amount > 0)) say(form, "▲ Write a number, such as 23.5.", "alarm");
    else if (form.dataset.entry === "weigh") {
      const { text, condition } = judged(form, amount);
      say(form, text, condition);
    } else say(form, "");
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const amount = number(field.value);
    if (!(amount > 0)) { say(form, "▲ Write a number, such as 23.5.", "alarm"); return; }
    if (form.dataset.entry === "weigh") {
      const { text, strange } = judged(form, amount);
      if (strange && confirmed !== amount) {
        confirmed = amount;
        say(form, `${text}. If that is right, press Keep again.`, "alarm");
        return;
      }
    }
    await keepAmount(field, amount, [form]);
    const next = forms[forms.indexOf(form) + 1];
    next?.elements.amount.focus();
  });
}

document.querySelector("form[data-all]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = event.target.elements.amount;
  const amount = number(field.value);
  if (!(amount > 0)) { say(event.target, "▲ Write a number, such as 1.5.", "alarm"); return; }
  say(event.target, "");
  await keepAmount(field, amount, forms);
});

// ---- notes

async function photoText(file) {
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) return base64(file); // A format that this browser does not show; the server may still read it.
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return base64(await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85)));
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

document.querySelector("form[data-note]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("[type=submit]");
  const { relation, id, name, address } = form.dataset;
  const text = form.elements.text.value.trim();
  const [file] = form.elements.photo.files;
  if (!text && !file) { say(form, "▲ Write something or take a photo.", "alarm"); return; }
  const body = { [relation]: id, text, time: new Date().toISOString() };
  const tags = form.elements.tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  if (tags.length) body.tags = tags;
  // A photo takes a while: pressed again meanwhile, there would be two notes.
  button.disabled = true;
  try {
    if (file) body.photo = await photoText(file);
    if (await keepOf([[form, entryOf(address, body, `Note on ${name}: ${text || "photo"}`, id)]])) form.reset();
  } catch {
    say(form, "▲ The photo cannot be read; choose it again.", "alarm");
  } finally {
    button.disabled = false;
  }
});

opened.then(() => {
  show();
  send();
  setInterval(() => { if (!panel.hidden && !document.hidden) send(); }, RETRY_MS);
  addEventListener("online", send);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) send(); });
}, () => {
  panel.querySelector("[data-part=sum]").textContent = "▲ This browser may keep nothing (a private window?), so nothing can be written down here.";
  panel.hidden = false;
});
