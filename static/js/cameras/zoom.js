// Looking closer: two fingers, the wheel, a double tap or + and - enlarge the picture; what is enlarged can be dragged.

const MOST = 8;
const STEP = 1.5;
const TAPPED = 2.5;
const TAP_WITHIN = 300; // ms between the two taps
const TAP_NEAR = 30; // px between them

const stage = document.querySelector("[data-stage]");
const frame = stage?.querySelector(".tile");
const canvas = stage?.querySelector("canvas");
const reset = stage?.querySelector("[data-zoom-reset]");

// The picture is scaled about its left top corner, then moved by (x, y) px within the frame.
const view = { scale: 1, x: 0, y: 0 };
const pointers = new Map();
let lastTap = { at: -Infinity, x: 0, y: 0 };

function show() {
  const { width, height } = frame.getBoundingClientRect();
  view.scale = Math.min(MOST, Math.max(1, view.scale));
  // No side of the picture comes into the frame.
  view.x = Math.min(0, Math.max(width * (1 - view.scale), view.x));
  view.y = Math.min(0, Math.max(height * (1 - view.scale), view.y));
  canvas.style.transform = view.scale > 1 ? `translate(${view.x}px, ${view.y}px) scale(${view.scale})` : "";
  stage.dataset.zoom = view.scale.toFixed(2);
  // Otherwise one finger scrolls the page.
  stage.classList.toggle("stage-zoomed", view.scale > 1);
  reset.hidden = view.scale === 1;
  reset.textContent = `${view.scale.toFixed(1)}×`;
  reset.setAttribute("aria-label", `Enlarged ${view.scale.toFixed(1)} times; show the whole picture`);
}

// Scale by a factor while the point (x, y) of the frame, in px, stays where it is.
function zoom(factor, x, y) {
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  view.x = x - (x - view.x) * ratio;
  view.y = y - (y - view.y) * ratio;
  view.scale = scale;
  show();
}

function whole() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  show();
}

function place(event) {
  const box = frame.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function spread() {
  const [one, two] = [...pointers.values()];
  return { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2, distance: Math.max(1, Math.hypot(one.x - two.x, one.y - two.y)) };
}

function down(event) {
  if (event.pointerType === "mouse" && event.button !== 0) return;
  if (pointers.size === 2) return;
  pointers.set(event.pointerId, place(event));
  frame.setPointerCapture(event.pointerId);
}

function move(event) {
  if (!pointers.has(event.pointerId)) return;
  const before = pointers.size === 2 ? spread() : pointers.get(event.pointerId);
  pointers.set(event.pointerId, place(event));
  const after = pointers.size === 2 ? spread() : pointers.get(event.pointerId);
  if (view.scale > 1 || pointers.size === 2) {
    view.x += after.x - before.x;
    view.y += after.y - before.y;
  }
  zoom(pointers.size === 2 ? after.distance / before.distance : 1, after.x, after.y);
}

function up(event) {
  if (!pointers.delete(event.pointerId) || event.type === "pointercancel" || pointers.size) return;
  const { x, y } = place(event);
  const near = Math.hypot(x - lastTap.x, y - lastTap.y) < TAP_NEAR;
  if (event.timeStamp - lastTap.at < TAP_WITHIN && near) {
    lastTap.at = -Infinity;
    if (view.scale > 1) whole();
    else zoom(TAPPED, x, y);
  } else {
    lastTap = { at: event.timeStamp, x, y };
  }
}

function key(event) {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, height } = frame.getBoundingClientRect();
  if (event.key === "+" || event.key === "=") zoom(STEP, width / 2, height / 2);
  else if (event.key === "-") zoom(1 / STEP, width / 2, height / 2);
  else if (event.key === "0") whole();
}

if (canvas && reset) {
  frame.addEventListener("pointerdown", down);
  frame.addEventListener("pointermove", move);
  for (const type of ["pointerup", "pointercancel"]) frame.addEventListener(type, up);
  frame.addEventListener("wheel", (event) => {
    // Without Ctrl (or a pinch on a touchpad, which says Ctrl) the wheel scrolls the page, unless it can be scrolled back.
    if (!event.ctrlKey && view.scale === 1 && !stage.classList.contains("stage-full")) return;
    event.preventDefault();
    const { x, y } = place(event);
    zoom(Math.exp(-event.deltaY / 300), x, y);
  }, { passive: false });
  document.addEventListener("keydown", key);
  reset.addEventListener("click", whole);
  // Full screen and turning the phone change the frame.
  new ResizeObserver(show).observe(frame);
}
