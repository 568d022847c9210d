// What is done to traces before they are drawn: a high-pass filter, and the common median taken off.
//
// The server filters the samples themselves, so only in a window that is short enough; a longer one shows what was
// recorded, says so, and comes back to the filter when it is short again.

export class Cleaning {
  // `make` returns tiles of the recording with what goes with every request; `changed` is called after a choice.
  constructor({ raw, make, columns, changed, part }) {
    Object.assign(this, { raw, make, columns, part, made: new Map(), told: null });
    this.boxes = { high_pass: part("traces-highpass"), reference: part("traces-reference") };
    for (const box of Object.values(this.boxes)) box.addEventListener("change", changed);
  }

  // What the server says of the recording; another inspection means another median.
  of(told) {
    this.told = told;
    this.made.clear();
    const { high_pass: edge, reference } = told.cleaning;
    const reasons = { high_pass: edge ? "" : "The recording is too slow for it.", reference: reference ? "" : "There are too few good channels for a common median." };
    for (const [name, box] of Object.entries(this.boxes)) {
      box.dataset.never = reasons[name] ? "1" : "";
      if (reasons[name]) box.checked = false;
      box.parentElement.title = reasons[name] || (name === "reference" ? `Median over ${told.quality ? "the good" : "all"} channels` : "Forward and backward");
    }
  }

  get chosen() { return Object.entries(this.boxes).filter(([, box]) => box.checked).map(([name]) => name); }

  // The widest bins of which a tile is still filtered at once.
  get widest() { return 2 ** Math.floor(Math.log2(Math.max(1, this.told.cleaning.samples / this.columns))); }

  // The tiles to draw where bins are so wide, and pixels as many.
  tiles(width, pixels) {
    const { told, chosen } = this;
    const fits = width <= this.widest && this.columns <= told.cleaning.samples;
    for (const box of Object.values(this.boxes)) box.disabled = !fits || Boolean(box.dataset.never);
    const most = Number(((2 * this.widest * pixels) / told.rate).toPrecision(2));
    const note = fits ? "" : `${chosen.length ? "Shown as recorded: a" : "A"} window is filtered up to about ${most} s.`;
    const place = this.part("traces-clean-note");
    if (place.textContent !== note) place.textContent = note;
    if (!fits || !chosen.length) return this.raw;
    const key = chosen.join();
    if (!this.made.has(key)) {
      const more = Object.fromEntries(chosen.map((name) => [name, "true"]));
      if (more.reference && told.quality) more.inspection = told.quality.result;
      const tiles = this.make(more);
      tiles.of(told);
      this.made.set(key, tiles);
    }
    return this.made.get(key);
  }
}
