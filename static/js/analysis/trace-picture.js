// The picture of traces: a row for each channel, its name at the left, the time below, and a scale in the corner.
//
// Rows are set pixel by pixel, since hundreds of them change in every frame; words and lines are drawn over them.

const AXIS = 24; // px below the rows

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const nice = (about) => { const power = 10 ** Math.floor(Math.log10(about)); return power * [5, 2, 1].find((step) => step * power <= about); };

const packedColour = (text) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = text;
  probe.fillRect(0, 0, 1, 1);
  return new Uint32Array(probe.getImageData(0, 0, 1, 1).data.buffer)[0];
};

function mixed(one, other, share) {
  const bits = (shift) => Math.round(((one >> shift) & 255) * (1 - share) + ((other >> shift) & 255) * share) << shift;
  return (bits(0) | bits(8) | bits(16) | 0xff000000) >>> 0;
}

export class Picture {
  // `view` is what is seen: `start` and `span` in samples, `top` and `rows` in channels, `microvolts` a row is high.
  constructor({ canvas, view }) {
    Object.assign(this, { canvas, view, brush: canvas.getContext("2d", { alpha: false }), told: null, order: [], places: [], colours: null, image: null, pixels: null });
    this.size = { width: 0, height: 0, left: 0, ratio: 1 };
  }

  // What the server says of the recording, and its channels from the top of the page downwards.
  of(told, order) {
    Object.assign(this, { told, order, places: [] });
    order.forEach((channel, row) => { this.places[channel] = row; });
  }

  readColours() {
    const ground = packedColour(style("--surface"));
    const [ink, second, grey] = ["--accent", "--ink", "--line-strong"].map((name) => packedColour(style(name)));
    this.colours = { ground, good: [ink, second], bad: mixed(grey, ground, 0.45), pale: [mixed(ink, ground, 0.6), mixed(second, ground, 0.6)] };
  }

  fit() {
    const { canvas } = this;
    const box = canvas.getBoundingClientRect();
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = Math.max(64, Math.round(box.width * ratio));
    canvas.height = Math.max(64, Math.round(box.height * ratio));
    const left = Math.round((box.width < 600 ? 46 : 76) * ratio);
    this.size = { ratio, left, width: canvas.width - left, height: canvas.height - Math.round(AXIS * ratio) };
    this.image = this.brush.createImageData(this.size.width, this.size.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  get dark() { const [r, g, b] = [0, 8, 16].map((shift) => (this.colours.ground >> shift) & 255); return r + g + b < 384; }
  get perPixel() { return this.view.span / this.size.width; } // samples
  get rowHeight() { return this.size.height / this.view.rows; }
  get perMicrovolt() { return this.rowHeight / this.view.microvolts; }
  rowOf(channel) { return { middle: (this.places[channel] - this.view.top + 0.5) * this.rowHeight, height: this.rowHeight }; }
  isBad(channel) { return Boolean(this.told.quality) && this.told.quality.labels[channel] !== "good"; }

  // The colour of a row; paler where it is drawn from a coarser tile.
  colourOf(row, exact) {
    if (this.isBad(this.order[row])) return this.colours.bad;
    return (exact ? this.colours.good : this.colours.pale)[row % 2];
  }

  seconds(sample) { return this.told.start + sample / this.told.rate; }

  clock(value, step) {
    const digits = clamp(Math.ceil(-Math.log10(step) - 1e-9), 0, 6);
    if (this.told.samples / this.told.rate < 120 || digits > 3) return `${value.toFixed(digits)} s`;
    const [sign, rest] = [value < 0 ? "−" : "", Math.abs(value) + 10 ** -digits * 1e-3];
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    const tail = digits ? (rest % 1).toFixed(digits + 3).slice(1, digits + 2) : "";
    return `${sign}${Math.floor(rest / 3600)}:${two((rest / 60) % 60)}:${two(rest % 60)}${tail}`;
  }

  clear() { this.pixels.fill(this.colours.ground); }

  // Lowest and highest of what lies under a pixel, as a run of pixels that meets the one before it. `base` is the
  // voltage (uV) in the middle of the row.
  drawRow(row, tile, fromX, toX, base, colour) {
    const { view, size, pixels } = this;
    const { columns, planes, values } = tile;
    const low = (this.order[row] - tile.first) * planes * columns;
    const high = low + (planes - 1) * columns;
    const [middle, scale] = [(row - view.top + 0.5) * this.rowHeight, this.perMicrovolt];
    const step = view.span / size.width / tile.width;
    const origin = (view.start - tile.start) / tile.width;
    const lines = planes === 1 && step < 1;
    let [lastTop, lastBottom] = [NaN, NaN];
    for (let x = fromX; x < toX; x += 1) {
      let [least, most] = [Infinity, -Infinity];
      if (lines) {
        // Samples further apart than pixels are joined by straight lines.
        for (const at of [origin + x * step - 0.5, origin + (x + 1) * step - 0.5]) {
          const k = clamp(Math.floor(at), 0, columns - 1);
          const value = values[low + k] + (values[low + Math.min(columns - 1, k + 1)] - values[low + k]) * clamp(at - k, 0, 1);
          if (value < least) least = value;
          if (value > most) most = value;
        }
      } else {
        const from = Math.max(0, Math.floor(origin + x * step));
        const to = Math.min(columns, Math.max(from + 1, Math.floor(origin + (x + 1) * step)));
        for (let k = from; k < to; k += 1) {
          if (values[low + k] < least) least = values[low + k];
          if (values[high + k] > most) most = values[high + k];
        }
      }
      if (!(most >= least)) { lastTop = NaN; continue; }
      let top = Math.round(middle - (most - base) * scale);
      let bottom = Math.round(middle - (least - base) * scale);
      const [ownTop, ownBottom] = [top, bottom];
      if (lastBottom < top) top = lastBottom; else if (lastTop > bottom) bottom = lastTop;
      [lastTop, lastBottom] = [ownTop, ownBottom];
      if (bottom < 0 || top >= size.height) continue;
      const end = Math.min(size.height - 1, bottom) * size.width + x;
      for (let at = Math.max(0, top) * size.width + x; at <= end; at += size.width) pixels[at] = colour;
    }
  }

  // The rows that were drawn, on the canvas.
  show() {
    const { brush, canvas } = this;
    brush.fillStyle = style("--surface");
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.putImageData(this.image, this.size.left, 0);
  }

  drawFrame() {
    const { brush } = this;
    brush.font = `${11 * this.size.ratio}px system-ui, sans-serif`;
    brush.textBaseline = "middle";
    this.drawNames();
    this.drawTime();
    if (this.view.microvolts) this.drawScale();
  }

  // Channels, as many as there is room to name.
  drawNames() {
    const { brush, order, view, rowHeight } = this;
    const { ratio, left, height } = this.size;
    const [ink, muted] = ["--ink", "--ink-2"].map(style);
    const every = Math.max(1, 2 ** Math.ceil(Math.log2((15 * ratio) / rowHeight)));
    brush.textAlign = "right";
    for (let row = Math.ceil(Math.max(0, view.top - 0.5) / every) * every; row < Math.min(order.length, view.top + view.rows); row += every) {
      const y = (row - view.top + 0.5) * rowHeight;
      if (y > height) break;
      brush.fillStyle = this.isBad(order[row]) ? muted : ink;
      brush.fillText(this.labelOf(order[row]), left - 6 * ratio, y);
    }
  }

  labelOf(channel) {
    const mark = this.isBad(channel) ? "✕ " : "";
    if (!this.told.positions || this.size.left < 70 * this.size.ratio) return `${mark}${channel}`;
    return `${mark}${channel} · ${Math.round(this.told.positions[channel][1])}`;
  }

  drawTime() {
    const { brush, canvas, told, view } = this;
    const { ratio, left, height, width } = this.size;
    const [muted, line] = ["--ink-2", "--line"].map(style);
    brush.fillStyle = style("--surface");
    brush.fillRect(0, height, canvas.width, canvas.height - height);
    brush.fillStyle = line;
    brush.fillRect(left, height, width, ratio);
    const step = nice((view.span / told.rate / width) * 150 * ratio);
    brush.textAlign = "center";
    for (let k = Math.ceil(this.seconds(view.start) / step); k * step <= this.seconds(view.start + view.span); k += 1) {
      const x = left + ((k * step - this.seconds(view.start)) * told.rate * width) / view.span;
      brush.fillStyle = line;
      brush.fillRect(Math.round(x), height, ratio, 5 * ratio);
      brush.fillStyle = muted;
      if (x > left + 30 * ratio && x < canvas.width - 30 * ratio) brush.fillText(this.clock(k * step, step), x, height + 14 * ratio);
    }
  }

  // So many microvolts high, so long.
  drawScale() {
    const { brush, canvas, told, view, perMicrovolt } = this;
    const { ratio, height, width } = this.size;
    const tall = nice(Math.max(view.microvolts, (60 * ratio) / perMicrovolt) * 1.001);
    const [x, y, up, across] = [canvas.width - 14 * ratio, height - 14 * ratio, tall * perMicrovolt, nice((view.span / told.rate) * 0.12)];
    const long = (across * told.rate * width) / view.span;
    const words = [tall >= 1000 ? `${tall / 1000} mV` : `${tall} µV`, across >= 1 ? `${across} s` : `${Number((across * 1000).toPrecision(3))} ms`];
    brush.textAlign = "right";
    brush.fillStyle = style("--surface");
    brush.globalAlpha = 0.82;
    brush.fillRect(x - Math.max(long, 90 * ratio) - 8 * ratio, y - up - 8 * ratio, Math.max(long, 90 * ratio) + 16 * ratio, up + 20 * ratio);
    brush.globalAlpha = 1;
    brush.fillStyle = style("--ink");
    brush.fillRect(x - 2 * ratio, y - up, 2 * ratio, up);
    brush.fillRect(x - long, y - 2 * ratio, long, 2 * ratio);
    brush.fillText(words[0], x - 8 * ratio, y - up + 7 * ratio);
    brush.fillText(words[1], x - 8 * ratio, y - 11 * ratio);
  }
}
