// Moving through traces: by keys and buttons, the wheel, the mouse and fingers.

export const MICROVOLTS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Moves {
  // `picture` draws what `view` says; `most` tells how many samples may be seen at once, `changed` is called after a
  // move, `recentre` and `jump` (1 or -1) do what their keys ask for, `over` hears where the pointer is.
  constructor({ section, canvas, part, view, picture, most, changed, recentre, jump, over }) {
    Object.assign(this, { section, canvas, part, view, picture, most, changed, recentre, jump, over, fingers: new Map() });
    this.actions = {
      ArrowLeft: () => this.scroll(-0.1), ArrowRight: () => this.scroll(0.1), PageUp: () => this.scroll(-1), PageDown: () => this.scroll(1),
      Home: () => { view.start = 0; this.bound(); }, End: () => { view.start = picture.told.samples; this.bound(); },
      ArrowUp: () => this.scrollRows(-Math.max(1, view.rows / 8)), ArrowDown: () => this.scrollRows(Math.max(1, view.rows / 8)),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), "]": () => this.gain(-1), "[": () => this.gain(1),
      ",": () => this.showRows(0.5), ".": () => this.showRows(2), c: recentre, n: () => jump(1), p: () => jump(-1),
    };
    this.listen();
  }

  // Keep what is seen within the recording, and say where it is.
  bound() {
    const { part, view, picture } = this;
    const { told, order } = picture;
    view.span = clamp(view.span, Math.min(told.samples, 16), Math.max(16, this.most()));
    view.start = clamp(view.start, 0, Math.max(0, told.samples - view.span));
    view.rows = clamp(view.rows, 1, order.length);
    view.top = clamp(view.top, 0, order.length - view.rows);
    const scrub = part("traces-scrub");
    scrub.max = Math.max(1, told.samples - view.span);
    scrub.value = view.start;
    scrub.setAttribute("aria-valuetext", picture.clock(picture.seconds(view.start), 0.001));
    part("traces-rows").textContent = `${Math.round(view.rows)} of ${order.length} channels`;
    part("traces-span").textContent = `${Number((view.span / told.rate).toPrecision(3))} s`;
    this.changed();
  }

  scroll(share) { this.view.start += share * this.view.span; this.bound(); }
  scrollRows(rows) { this.view.top += rows; this.bound(); }

  // Returns the middle of what is seen then, which near an end of the recording is not the sample.
  show(sample) {
    const { view } = this;
    view.start = sample - view.span / 2;
    this.bound();
    return view.start + view.span / 2;
  }

  // What lies at a share of the width stays there.
  zoom(factor, share = 0.5) {
    const { view } = this;
    const at = view.start + share * view.span;
    view.span *= factor;
    this.bound();
    view.start = at - share * view.span;
    this.bound();
  }

  showRows(factor) {
    const { view } = this;
    const middle = view.top + view.rows / 2;
    const next = Math.round(view.rows * factor);
    view.rows = next === Math.round(view.rows) ? view.rows + Math.sign(factor - 1) : next;
    view.top = middle - view.rows / 2;
    this.bound();
  }

  gain(direction) {
    const at = MICROVOLTS.findIndex((value) => value >= this.view.microvolts);
    this.view.microvolts = MICROVOLTS[clamp((at < 0 ? MICROVOLTS.length : at) + direction, 0, MICROVOLTS.length - 1)];
    this.changed();
  }

  // How far along the rows a point of the page lies, from 0 to 1.
  shareAt(clientX) {
    const { ratio, left, width } = this.picture.size;
    return clamp(((clientX - this.canvas.getBoundingClientRect().left) * ratio - left) / width, 0, 1);
  }

  // Before the server has told of the recording there is nothing to move through.
  listen() {
    const { section, canvas, part, view, picture, fingers, actions } = this;
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !picture.told || !actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
    });
    for (const button of section.querySelectorAll("[data-key]")) button.addEventListener("click", () => picture.told && actions[button.dataset.key]());
    part("traces-scrub").addEventListener("input", (event) => { view.start = Number(event.target.value); this.bound(); });
    canvas.addEventListener("wheel", (event) => { if (picture.told) this.wheel(event); }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!picture.told) return;
      this.over(event);
      this.drag(event);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }

  wheel(event) {
    event.preventDefault();
    const { size, rowHeight } = this.picture;
    const scale = event.deltaMode ? 30 : 1;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.scroll(((event.deltaX || event.deltaY) * scale * size.ratio) / size.width);
    else if (event.altKey) this.scrollRows((event.deltaY * scale * size.ratio) / rowHeight);
    else this.zoom(2 ** clamp((event.deltaY * scale) / (event.ctrlKey ? 100 : 300), -1, 1), this.shareAt(event.clientX));
  }

  // One finger or the mouse takes the picture along; two spread it in time.
  drag(event) {
    const { view, fingers } = this;
    const { size, rowHeight } = this.picture;
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [(event.clientX - before.x) * size.ratio, (event.clientY - before.y) * size.ratio];
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    if (others.length) {
      const [was, now] = [before.x, event.clientX].map((x) => Math.max(20, Math.abs(x - others[0].x)));
      this.zoom(was / now, this.shareAt((event.clientX + others[0].x) / 2));
      this.scroll(-dx / 2 / size.width);
    } else {
      view.top -= dy / rowHeight;
      this.scroll(-dx / size.width);
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }
}
