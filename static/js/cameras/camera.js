// The page of one camera: full screen that keeps the phone awake, and controls that follow what the camera does.

const stage = document.querySelector("[data-stage]");
const full = document.querySelector("[data-full-screen]");
let lock = null;

// The browser takes the lock back whenever the page is hidden; it is asked for again when the page is seen.
async function stayAwake() {
  if (lock || document.hidden || !stage.classList.contains("stage-full")) return;
  try {
    const got = await navigator.wakeLock?.request("screen");
    if (!got) return;
    if (lock || !stage.classList.contains("stage-full")) {
      got.release(); // Full screen was left, or the lock taken, while the browser thought about it.
      return;
    }
    lock = got;
    stage.dataset.awake = "";
    got.addEventListener("release", () => {
      if (lock !== got) return;
      lock = null;
      delete stage.dataset.awake;
      stayAwake();
    });
  } catch {
    // Low battery: the picture is shown all the same.
  }
}

function leave() {
  stage.classList.remove("stage-full");
  const held = lock;
  lock = null;
  delete stage.dataset.awake;
  held?.release();
}

full?.addEventListener("click", async () => {
  if (document.fullscreenElement || stage.classList.contains("stage-full")) {
    if (document.fullscreenElement) await document.exitFullscreen();
    leave();
    return;
  }
  stage.classList.add("stage-full");
  stayAwake();
  // A phone without full screen for elements fills its window instead.
  await stage.requestFullscreen?.().catch(() => {});
});
document.addEventListener("visibilitychange", stayAwake);
document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) leave(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leave();
  if (event.key === "f" && !event.target.closest("input, textarea, select") && !event.ctrlKey && !event.metaKey) full?.click();
});

document.addEventListener("camera:state", () => {
  const controls = document.getElementById("controls");
  if (controls && window.htmx) window.htmx.ajax("GET", controls.dataset.url, { target: "#controls", swap: "outerHTML" });
});
