// Draws the lines of a chain's graph: from each step to those that wait for it. The page says in words what they say.

const SVG = "http://www.w3.org/2000/svg";
const LANE = 6; // px between two lines at the side

function draw() {
  const graph = document.getElementById("chain-graph");
  if (!graph) return;
  graph.querySelector(".chain-lines")?.remove();
  const lines = document.createElementNS(SVG, "svg");
  lines.setAttribute("class", "chain-lines");
  lines.setAttribute("aria-hidden", "true");
  const frame = graph.getBoundingClientRect();
  const nodes = Object.fromEntries([...graph.querySelectorAll(".chain-node")].map((node) => [node.dataset.step, node]));
  let lane = 0;
  for (const node of Object.values(nodes)) {
    for (const name of node.dataset.after.split(" ").filter(Boolean)) {
      const origin = nodes[name];
      const [from, to] = [origin, node].map((one) => one.getBoundingClientRect());
      const [y1, y2] = [from, to].map((box) => box.top + box.height / 2 - frame.top);
      const path = document.createElementNS(SVG, "path");
      if (to.left > from.right) {
        const [x1, x2] = [from.right - frame.left, to.left - frame.left];
        const bend = (x2 - x1) / 2;
        path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}M${x2 - 7} ${y2 - 5}L${x2} ${y2}L${x2 - 7} ${y2 + 5}`);
      } else {
        const x = from.left - frame.left;
        const side = x - 8 - LANE * (lane++ % 3);
        path.setAttribute("d", `M${x} ${y1}H${side + 4}Q${side} ${y1} ${side} ${y1 + 4}V${y2 - 4}Q${side} ${y2} ${side + 4} ${y2}H${x}M${x - 6} ${y2 - 4}L${x} ${y2}L${x - 6} ${y2 + 4}`);
      }
      const state = origin.dataset.state;
      if (state === "succeeded") path.setAttribute("class", "is-done");
      if (["failed", "stopped", "cancelled"].includes(state)) path.setAttribute("class", "is-broken");
      lines.append(path);
    }
  }
  graph.prepend(lines);
}

draw();
addEventListener("resize", draw);
document.body.addEventListener("htmx:afterSettle", draw);
