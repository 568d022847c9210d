// Live streams: websocket -> JPEG -> bitmap -> canvas. Runs as a module worker with OffscreenCanvases, so that drawing
// never waits for the page; where the browser has none, the page imports this file and uses Stream itself.

const HEADER = 40;
const FIRST_DELAY = 400;
const LONGEST_DELAY = 8000;
const CLOCK_EVERY = 10_000;
const REPORT_EVERY = 100;
// Closed on purpose: asking again would get the same answer.
const FINAL = new Set([4400, 4401, 4403, 4404]);

const now = () => performance.timeOrigin + performance.now();

export class Stream {
  // report(message) is called with {kind: "frame" | "state" | "link", ...}.
  constructor(canvas, url, report) {
    this.canvas = canvas;
    this.url = url;
    this.report = report;
    this.context = canvas.getContext("2d", { alpha: false, desynchronized: true });
    this.socket = null;
    this.wanted = false;
    this.delay = FIRST_DELAY;
    this.drawn = -1n;
    this.frames = 0;
    this.reported = 0;
    this.roundTrip = Infinity;
  }

  resume() {
    if (this.wanted) return;
    this.wanted = true;
    this.delay = FIRST_DELAY;
    this.open();
  }

  pause() {
    this.wanted = false;
    clearTimeout(this.timer);
    clearInterval(this.clock);
    if (this.socket) {
      const socket = this.socket;
      this.socket = null;
      socket.close(1000);
    }
  }

  open() {
    clearTimeout(this.timer);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.drawn = -1n;
    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.report({ kind: "link", open: true });
      this.roundTrip = Infinity;
      const ask = () => socket.readyState === 1 && socket.send(`{"type":"time","sent":${now()}}`);
      ask();
      clearInterval(this.clock);
      this.clock = setInterval(ask, CLOCK_EVERY);
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      if (typeof event.data === "string") this.text(JSON.parse(event.data));
      else this.frame(socket, event.data);
    };
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      clearInterval(this.clock);
      this.socket = null;
      const final = FINAL.has(event.code);
      this.report({ kind: "link", open: false, code: event.code, reason: event.reason, final });
      if (this.wanted && !final) {
        this.timer = setTimeout(() => this.open(), this.delay * (0.75 + Math.random() / 2));
        this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
      }
    };
  }

  text(message) {
    const arrived = now();
    if (message.type === "time") {
      const roundTrip = arrived - message.sent;
      // The quickest answer tells the offset best: its two ways can differ by no more than it took.
      if (roundTrip <= this.roundTrip * 1.2) {
        this.roundTrip = roundTrip;
        this.report({ kind: "clock", offset: message.server_ns / 1e6 - (message.sent + arrived) / 2 });
      }
    } else if (message.type === "state") {
      this.report({ kind: "state", state: message, offset: message.server_ns / 1e6 - arrived });
    }
  }

  async frame(socket, data) {
    const view = new DataView(data);
    const sequence = view.getBigUint64(8, true);
    const received = Number(view.getBigUint64(24, true)) / 1e6;
    try {
      const picture = new Blob([new Uint8Array(data, view.getUint16(6, true) || HEADER)], { type: "image/jpeg" });
      const bitmap = await createImageBitmap(picture);
      if (sequence > this.drawn && socket === this.socket) {
        this.drawn = sequence;
        if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
          this.canvas.width = bitmap.width;
          this.canvas.height = bitmap.height;
        }
        this.context.drawImage(bitmap, 0, 0);
        this.frames += 1;
        this.delay = FIRST_DELAY;
        if (now() - this.reported > REPORT_EVERY) {
          this.reported = now();
          this.report({ kind: "frame", received, drawn: now(), frames: this.frames, sequence: Number(sequence) });
        }
      }
      bitmap.close();
    } catch {
      this.report({ kind: "damaged", sequence: Number(sequence) });
    }
    // Only now is there room for the next one: what a slow phone cannot draw is not sent to it.
    if (socket.readyState === 1) socket.send("ack");
  }
}

const inWorker = typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope;

if (inWorker) {
  const streams = new Map();
  self.onmessage = ({ data }) => {
    if (data.type === "open") {
      streams.set(data.id, new Stream(data.canvas, data.url, (message) => self.postMessage({ id: data.id, ...message })));
    } else if (data.type === "resume") {
      streams.get(data.id)?.resume();
    } else if (data.type === "pause") {
      streams.get(data.id)?.pause();
    }
  };
}
