// A snapshot is shown with the time at which it was taken and its age then, before it is saved.

const link = document.querySelector("[data-snapshot]");
const dialog = document.querySelector("[data-snapshot-dialog]");
const part = (name) => dialog.querySelector(`[data-snapshot-${name}]`);
let address = "";

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

function forget() {
  URL.revokeObjectURL(address);
  address = "";
  part("picture").removeAttribute("src");
}

async function take() {
  part("about").textContent = "Waiting for a fresh picture …";
  part("picture").hidden = part("save").hidden = true;
  dialog.showModal();
  let reply;
  try {
    reply = await fetch(link.href, { headers: { Accept: "image/jpeg" } });
  } catch {
    part("about").textContent = "The server does not answer.";
    return;
  }
  if (!reply.ok) {
    part("about").textContent = (await reply.text()).trim() || `The server says ${reply.status}.`;
    return;
  }
  const taken = new Date(Number(BigInt(reply.headers.get("X-Frame-Captured-Ns")) / 1_000_000n));
  const number = reply.headers.get("X-Frame-Sequence");
  const picture = await reply.blob();
  if (!dialog.open) return;
  address = URL.createObjectURL(picture);
  part("picture").src = part("save").href = address;
  part("save").download = `${link.dataset.snapshot}-${taken.toISOString().replaceAll(/[:.]/g, "-")}-frame-${number}.jpg`;
  part("about").textContent = `Frame ${number}, taken at ${clock.format(taken)} on the camera's clock, `
    + `${reply.headers.get("X-Frame-Age-Ms")} ms old when it was sent.`;
  part("picture").hidden = part("save").hidden = false;
}

if (link && dialog?.showModal) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    take();
  });
  dialog.addEventListener("close", forget);
  part("close").addEventListener("click", () => dialog.close());
}
