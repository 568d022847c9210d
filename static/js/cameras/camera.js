// The page of one camera: full screen that keeps the phone awake, and controls that follow what the camera does.

const stage = document.querySelector("[data-stage]");
const full = document.querySelector("[data-full-screen]");
let lock = null;

async function stayAwake() {
  try {
    lock = await navigator.wakeLock?.request("screen");
  } catch {
    lock = null; // Low battery: the picture is shown all the same.
  }
}

function leave() {
  stage.classList.remove("stage-full");
  lock?.release();
  lock = null;
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
document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) leave(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leave();
  if (event.key === "f" && !event.target.closest("input, textarea, select") && !event.ctrlKey && !event.metaKey) full?.click();
});

document.addEventListener("camera:state", () => {
  const controls = document.getElementById("controls");
  if (controls && window.htmx) window.htmx.ajax("GET", controls.dataset.url, { target: "#controls", swap: "outerHTML" });
});
