// Drawing arenas and a scale on a frame: corners by mouse, finger or keyboard. All points are in px of the frame.

const SVG = "http://www.w3.org/2000/svg";
const TOUCH = 22; // px of the screen around a handle's middle that take hold of it
const MARK = 7;
const LOUPE = 44; // px of the frame that the loupe shows

const form = document.getElementById("arenas");
const image = document.getElementById("frame");
const overlay = document.getElementById("overlay");
const loupe = document.getElementById("loupe");
const wait = document.getElementById("wait");
const list = document.getElementById("list");
const mayChange = "mayChange" in form.dataset;
const lengths = Object.fromEntries(["distance", "width", "height"].map((name) => [name, document.getElementById(name)]));

// What is drawn; a shape's points are [x, y], a circle's its middle and one of its edge.
const drawn = { arenas: [], kind: "none", points: { distance: [], corners: [] } };
let frame = { width: 0, height: 0 };

const round = (value) => Math.round(value * 10) / 10;
const apart = ([a, b], [c, d]) => Math.hypot(a - c, b - d);
const within = ([x, y]) => [round(Math.min(frame.width, Math.max(0, x))), round(Math.min(frame.height, Math.max(0, y)))];
const scale = () => frame.width / (overlay.getBoundingClientRect().width || frame.width);

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function placeOf(event) {
  const box = overlay.getBoundingClientRect();
  return [(event.clientX - box.left) * scale(), (event.clientY - box.top) * scale()];
}

// The loupe shows what the finger covers, on the side where it is not.
function look([x, y]) {
  const brush = loupe.getContext("2d");
  const size = loupe.width;
  brush.fillStyle = "#000";
  brush.fillRect(0, 0, size, size);
  brush.imageSmoothingEnabled = false;
  brush.drawImage(image, x - LOUPE / 2, y - LOUPE / 2, LOUPE, LOUPE, 0, 0, size, size);
  brush.strokeStyle = "#ffd34d";
  brush.lineWidth = 1.5;
  brush.beginPath();
  brush.moveTo(size / 2, 12); brush.lineTo(size / 2, size - 12);
  brush.moveTo(12, size / 2); brush.lineTo(size - 12, size / 2);
  brush.stroke();
  loupe.classList.toggle("is-right", x < frame.width / 2 && y < frame.height / 2);
  loupe.hidden = false;
}

function dragged(element, start, move) {
  element.addEventListener("pointerdown", (event) => {
    if (!mayChange || event.button) return;
    event.preventDefault();
    const from = placeOf(event);
    const context = start(from);
    element.focus?.();
    // The shapes are drawn anew while they move, so it is the picture that follows the pointer.
    overlay.setPointerCapture(event.pointerId);
    const moved = (next) => { if (next.pointerId === event.pointerId) move(placeOf(next), from, context); };
    const ended = (next) => {
      if (next.pointerId !== event.pointerId) return;
      for (const name of ["pointerup", "pointercancel"]) overlay.removeEventListener(name, ended);
      overlay.removeEventListener("pointermove", moved);
      loupe.hidden = true;
      draw();
    };
    overlay.addEventListener("pointermove", moved);
    for (const name of ["pointerup", "pointercancel"]) overlay.addEventListener(name, ended);
  });
}

function handle(points, index, words, { side = false, isScale = false, least = 3 } = {}) {
  const size = scale();
  const next = (index + 1) % points.length;
  const middle = side ? [(points[index][0] + points[next][0]) / 2, (points[index][1] + points[next][1]) / 2] : points[index];
  const [x, y] = middle;
  const mark = MARK * size * (side ? 0.75 : 1);
  const arm = mark * 0.55;
  const group = make("g", { class: `handle${side ? " is-side" : ""}${isScale ? " is-scale" : ""}`, tabindex: side ? -1 : 0, role: "button", "aria-label": side ? `${words}: add a corner` : `${words}, x ${x}, y ${y}` },
    make("circle", { class: "hit", cx: x, cy: y, r: (side ? TOUCH * 0.7 : TOUCH) * size }),
    make("circle", { class: "mark", cx: x, cy: y, r: mark }));
  if (side) group.append(make("path", { class: "cross", d: `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}` }));
  if (!side) group.dataset.key = words;
  dragged(group, () => {
    if (!side) return points[index];
    points.splice(index + 1, 0, within(middle));
    return points[index + 1];
  }, (to) => {
    const at = points.indexOf(points[side ? index + 1 : index]);
    points[at] = within(to);
    draw();
    look(points[at]);
  });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!mayChange || side) return;
    if (step) {
      const by = event.shiftKey ? 10 : 1;
      points[index] = within([points[index][0] + step[0] * by, points[index][1] + step[1] * by]);
    } else if ((event.key === "Delete" || event.key === "Backspace") && points.length > least) {
      points.splice(index, 1);
    } else return;
    event.preventDefault();
    draw(group.dataset.key);
  });
  return group;
}

function pathOf({ shape, points }) {
  if (shape === "circle") {
    const radius = apart(points[0], points[1]);
    const [x, y] = points[0];
    return `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0Z`;
  }
  return `M${points.map((point) => point.join(" ")).join("L")}Z`;
}

function label(text, [x, y], extra = "") {
  const element = make("text", { class: `shape-name${extra}`, x, y, "font-size": 14 * scale() });
  element.textContent = text;
  return element;
}

const middleOf = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

function draw(focused = document.activeElement?.dataset?.key) {
  const shapes = [];
  const handles = [];
  for (const arena of drawn.arenas) {
    const d = pathOf(arena);
    const inside = make("path", { class: "shape", d });
    dragged(inside, () => arena.points.map((point) => [...point]), (to, from, before) => {
      arena.points = before.map(([x, y]) => [round(x + to[0] - from[0]), round(y + to[1] - from[1])]);
      draw();
    });
    const at = arena.shape === "circle" ? [arena.points[0][0], arena.points[0][1] - 24 * scale()] : middleOf(arena.points);
    shapes.push(make("path", { class: "shape-casing", d }), inside, label(arena.name, at));
    arena.points.forEach((_, index) => {
      const circle = arena.shape === "circle";
      if (!circle) handles.push(handle(arena.points, index, `${arena.name}, side ${index + 1}`, { side: true }));
      const words = circle ? `${arena.name}, ${index ? "edge" : "middle"}` : `${arena.name}, corner ${index + 1}`;
      handles.push(handle(arena.points, index, words, { least: circle ? 2 : 3 }));
    });
  }
  const points = drawn.points[drawn.kind] ?? [];
  if (points.length) {
    const d = `M${points.map((point) => point.join(" ")).join("L")}${drawn.kind === "corners" ? "Z" : ""}`;
    shapes.push(make("path", { class: "shape-casing", d }), make("path", { class: "shape shape-scale", d }));
    points.forEach((point, index) => {
      if (drawn.kind === "corners") shapes.push(label(String(index + 1), [point[0], point[1] - 16 * scale()], " is-scale"));
      handles.push(handle(points, index, `scale, point ${index + 1}`, { isScale: true, least: points.length }));
    });
  }
  // Sides lie below corners: where both are near, the corner is meant.
  handles.sort((a, b) => b.classList.contains("is-side") - a.classList.contains("is-side"));
  overlay.replaceChildren(...shapes, ...handles);
  if (focused) overlay.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  tell();
}

function tell() {
  const now = document.getElementById("scale-now");
  const distance = Number(lengths.distance.value);
  const points = drawn.points[drawn.kind] ?? [];
  if (drawn.kind === "distance" && distance > 0) {
    const perCm = apart(points[0], points[1]) / distance;
    now.textContent = `${perCm.toFixed(2)} px in one cm; the picture shows ${(frame.width / perCm).toFixed(1)} × ${(frame.height / perCm).toFixed(1)} cm.`;
  } else if (drawn.kind === "corners" && Number(lengths.width.value) > 0 && Number(lengths.height.value) > 0) {
    const side = (a, b, cm) => (apart(points[a], points[b]) / cm).toFixed(2);
    now.textContent = `Sides show ${side(0, 1, lengths.width.value)}, ${side(1, 2, lengths.height.value)}, ${side(2, 3, lengths.width.value)} and ${side(3, 0, lengths.height.value)} px in one cm; where they differ, the camera looks at an angle.`;
  } else now.textContent = drawn.kind === "none" ? "" : "Put the points on the floor, and write how far they are apart.";
}

function rows() {
  list.replaceChildren(...drawn.arenas.map((arena, index) => {
    const row = document.createElement("li");
    const name = Object.assign(document.createElement("input"), { value: arena.name, maxLength: 40, required: true, disabled: !mayChange });
    name.setAttribute("aria-label", `Name of arena ${index + 1}`);
    name.addEventListener("input", () => { arena.name = name.value.trim(); draw(null); });
    row.append(name);
    if (mayChange) {
      const remove = Object.assign(document.createElement("button"), { type: "button", className: "button button-quiet", textContent: "✕" });
      remove.setAttribute("aria-label", `Remove ${arena.name}`);
      remove.addEventListener("click", () => { drawn.arenas.splice(index, 1); rows(); draw(null); });
      row.append(remove);
    }
    return row;
  }));
  document.getElementById("none").hidden = drawn.arenas.length > 0;
}

function freeName() {
  for (let number = 1; ; number += 1) if (!drawn.arenas.some((arena) => arena.name === `arena ${number}`)) return `arena ${number}`;
}

const inset = (share) => {
  const { width, height } = frame;
  return [[share, share], [1 - share, share], [1 - share, 1 - share], [share, 1 - share]].map(([x, y]) => within([x * width, y * height]));
};

function add(shape) {
  const { width, height } = frame;
  const shift = 0.04 * (drawn.arenas.length % 5);
  const points = shape === "circle" ? [within([width / 2, height / 2]), within([width / 2 + height * (0.35 - shift), height / 2])] : inset(0.15 + shift);
  drawn.arenas.push({ name: freeName(), shape, points });
  rows();
  draw(null);
}

function chooseKind(kind) {
  drawn.kind = kind;
  if (kind === "distance" && !drawn.points.distance.length) drawn.points.distance = [within([frame.width * 0.2, frame.height / 2]), within([frame.width * 0.8, frame.height / 2])];
  if (kind === "corners" && !drawn.points.corners.length) {
    // Mostly it is the arena's own corners whose distances are known.
    const arena = drawn.arenas.find((each) => each.shape === "polygon" && each.points.length === 4);
    drawn.points.corners = arena ? arena.points.map((point) => [...point]) : inset(0.2);
  }
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = part.dataset.for !== kind;
    for (const input of part.querySelectorAll("input")) { input.required = !part.hidden; input.disabled = !mayChange; }
  }
  draw(null);
}

function calibration() {
  const number = (name) => Number(lengths[name].value);
  if (drawn.kind === "distance") return { points: drawn.points.distance, distance_cm: number("distance") };
  if (drawn.kind === "corners") return { points: drawn.points.corners, width_cm: number("width"), height_cm: number("height") };
  return null;
}

// What was drawn on a frame of another size of the same proportions is brought to this one's.
function begin(kept) {
  const ratio = kept.width ? frame.width / kept.width : 1;
  const fits = !kept.width || Math.abs(ratio - frame.height / kept.height) < 0.01;
  const fitted = (points) => points.map(([x, y]) => [round(x * ratio), round(y * ratio)]);
  if (fits) {
    drawn.arenas = (kept.arenas ?? []).map((arena) => ({ name: arena.name, shape: arena.shape, points: fitted(arena.points) }));
    const old = kept.calibration;
    if (old) {
      const kind = old.points.length === 2 ? "distance" : "corners";
      drawn.points[kind] = fitted(old.points);
      lengths.distance.value = old.distance_cm ?? "";
      lengths.width.value = old.width_cm ?? "";
      lengths.height.value = old.height_cm ?? "";
      form.querySelector(`[name="kind"][value="${kind}"]`).checked = true;
      drawn.kind = kind;
    }
  }
  wait.hidden = true;
  rows();
  chooseKind(drawn.kind);
}

image.addEventListener("load", () => {
  frame = { width: image.naturalWidth, height: image.naturalHeight };
  overlay.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  begin(JSON.parse(document.getElementById("drawn").textContent));
  form.dataset.ready = "";
  new ResizeObserver(() => draw()).observe(overlay);
});
image.addEventListener("error", async () => {
  const reply = await fetch(form.dataset.frame);
  const text = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("main")?.textContent.trim();
  wait.textContent = text || "No frame of this video can be shown.";
});
image.src = form.dataset.frame;

for (const button of form.querySelectorAll("[data-add]")) button.addEventListener("click", () => { if (frame.width) add(button.dataset.add); });
for (const radio of form.querySelectorAll('[name="kind"]')) {
  radio.disabled = !mayChange;
  radio.addEventListener("change", () => { if (frame.width) chooseKind(radio.value); });
}
for (const input of Object.values(lengths)) input.addEventListener("input", tell);
form.addEventListener("submit", (event) => {
  if (!frame.width) { event.preventDefault(); return; }
  form.elements.drawing.value = JSON.stringify({ ...frame, arenas: drawn.arenas, calibration: calibration() });
});
