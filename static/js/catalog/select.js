// Sessions that are ticked stay so while one filters and turns pages; those on other pages go along with the form.

const KEPT = "picked-sessions";
const form = document.getElementById("picking");
const picked = new Set(JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));

const boxes = () => [...form.querySelectorAll("input[type=checkbox][name=session]")];

function show() {
  const here = boxes();
  if (!here.length || !document.getElementById("picked")) return;
  for (const box of here) box.checked = picked.has(box.value);
  const all = document.getElementById("pick-all");
  const ticked = here.filter((box) => box.checked).length;
  all.hidden = false;
  all.firstElementChild.checked = ticked === here.length;
  all.firstElementChild.indeterminate = ticked > 0 && ticked < here.length;
  const elsewhere = picked.size - ticked;
  document.getElementById("picked").textContent = picked.size ? `${picked.size} selected${elsewhere ? `, ${elsewhere} not shown here` : ""}` : "";
  document.getElementById("pick-none").hidden = !picked.size;
  document.getElementById("pick-start").disabled = !picked.size;
  sessionStorage.setItem(KEPT, JSON.stringify([...picked]));
}

form.addEventListener("change", ({ target }) => {
  if (target.name === "session") picked[target.checked ? "add" : "delete"](target.value);
  else if (target.closest("#pick-all")) for (const box of boxes()) picked[target.checked ? "add" : "delete"](box.value);
  show();
});
form.addEventListener("click", ({ target }) => {
  if (target.id !== "pick-none") return;
  picked.clear();
  show();
});
form.addEventListener("submit", () => {
  const here = new Set(boxes().map((box) => box.value));
  for (const id of picked) {
    if (here.has(id)) continue;
    const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: "session", value: id });
    form.append(hidden);
  }
  sessionStorage.removeItem(KEPT);
});
document.body.addEventListener("htmx:afterSettle", show);
show();
