// Live streams: websocket -> JPEG or H.264 -> picture -> canvas. Runs as a module worker with OffscreenCanvases, so that drawing
// never waits for the page; where the browser has none, the page imports this file and uses Stream itself.

const HEADER = 40;
const FIRST_DELAY = 400;
const LONGEST_DELAY = 8000;
const CLOCK_EVERY = 10_000;
const REPORT_EVERY = 100;
const H264 = 2;
// A decoder that fails so often with no picture in between will not do better.
const MOST_FAILURES = 3;
// Closed on purpose: asking again would get the same answer.
const FINAL = new Set([4400, 4401, 4403, 4404]);

const now = () => performance.timeOrigin + performance.now();

// The codec as a decoder wants it named, from the sequence parameter set (NAL unit 7) of a key frame.
function codecOf(data) {
  for (let at = 0; at + 6 < data.length; at += 1) {
    if (data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 1 && (data[at + 3] & 31) === 7) {
      return `avc1.${[...data.subarray(at + 4, at + 7)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    }
  }
  return null;
}

const supported = new Map();

async function canDecode(codec) {
  if (!codec || typeof VideoDecoder === "undefined") return false;
  if (!supported.has(codec)) {
    const asked = VideoDecoder.isConfigSupported({ codec, optimizeForLatency: true });
    supported.set(codec, asked.then((answer) => answer.supported, () => false));
  }
  return supported.get(codec);
}

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
    this.decoder = null;
    this.failures = 0;
    this.chunks = Promise.resolve();
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
    this.forget();
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
    this.forget();
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
    // Both in ms: of the agent's clock, and of the server's.
    const times = { captured: Number(view.getBigUint64(16, true)) / 1e6, received: Number(view.getBigUint64(24, true)) / 1e6 };
    const bytes = new Uint8Array(data, view.getUint16(6, true) || HEADER);
    if (view.getUint8(4) === H264) {
      const chunk = { socket, sequence, times, bytes, key: (view.getUint8(5) & 1) === 1 };
      // One after the other: each needs the one before it, and the first has to wait for the decoder.
      this.chunks = this.chunks.then(() => this.chunk(chunk)).catch(() => this.broken(sequence));
      return;
    }
    try {
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      if (sequence > this.drawn && socket === this.socket) this.draw(bitmap, bitmap, sequence, times, "jpeg");
      bitmap.close();
    } catch {
      this.report({ kind: "damaged", sequence: Number(sequence) });
    }
    this.acknowledge(socket);
  }

  // Only now is there room for the next one: what a slow phone cannot draw is not sent to it.
  acknowledge(socket) {
    if (socket.readyState === 1) socket.send("ack");
  }

  draw(picture, { width, height }, sequence, times, codec) {
    this.drawn = sequence;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.drawImage(picture, 0, 0);
    this.frames += 1;
    this.delay = FIRST_DELAY;
    if (now() - this.reported > REPORT_EVERY) {
      this.reported = now();
      this.report({ kind: "frame", ...times, drawn: now(), frames: this.frames, sequence: Number(sequence), codec });
    }
  }

  // ---- H.264

  async chunk({ socket, sequence, times, bytes, key }) {
    if (socket !== this.socket) return;
    if (key) {
      const codec = codecOf(bytes);
      const able = this.failures < MOST_FAILURES && (await canDecode(codec));
      if (socket !== this.socket) return;
      if (!able) return this.preview(codec);
      if (this.decoder?.codec !== codec && !this.start(socket, codec)) return this.acknowledge(socket);
    } else if (!this.decoder && typeof VideoDecoder === "undefined") {
      return this.preview(null);
    }
    if (!this.decoder || (!key && sequence !== this.fed + 1n)) {
      // What it is decoded from is not here: nothing is drawn before the next key frame.
      this.forget();
      return this.acknowledge(socket);
    }
    this.fed = sequence;
    const timestamp = Number(sequence);
    this.decoder.waiting.set(timestamp, times);
    this.decoder.owed += 1;
    this.decoder.decode(new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp, data: bytes }));
  }

  start(socket, codec) {
    this.forget();
    const decoder = new VideoDecoder({
      output: (picture) => {
        const times = decoder.waiting.get(picture.timestamp);
        decoder.waiting.delete(picture.timestamp);
        if (decoder === this.decoder && socket === this.socket && times) {
          this.failures = 0;
          const size = { width: picture.displayWidth, height: picture.displayHeight };
          this.draw(picture, size, BigInt(picture.timestamp), times, "h264");
        }
        picture.close();
      },
      error: () => {
        if (decoder === this.decoder) this.broken(this.fed);
      },
    });
    // The decoder has taken a picture up: there is room for another.
    decoder.ondequeue = () => {
      for (; decoder.owed > decoder.decodeQueueSize; decoder.owed -= 1) this.acknowledge(socket);
    };
    decoder.waiting = new Map();
    decoder.owed = 0;
    decoder.codec = codec;
    decoder.socket = socket;
    this.decoder = decoder;
    try {
      decoder.configure({ codec, optimizeForLatency: true });
    } catch {
      this.broken(this.fed);
    }
    return decoder === this.decoder;
  }

  // The decoder gave up: the next key frame begins anew.
  broken(sequence) {
    this.failures += 1;
    this.forget();
    this.report({ kind: "damaged", sequence: Number(sequence) });
  }

  // Let the decoder go, and give back the credit of what it had not taken up.
  forget() {
    const decoder = this.decoder;
    this.decoder = null;
    this.fed = -1n;
    if (!decoder) return;
    for (; decoder.owed > 0; decoder.owed -= 1) this.acknowledge(decoder.socket);
    if (decoder.state !== "closed") decoder.close();
  }

  // This browser does not decode it: the small pictures are JPEG and are shown everywhere.
  preview(codec) {
    const address = new URL(this.url);
    if (address.searchParams.get("rendition") === "preview") return;
    address.searchParams.set("rendition", "preview");
    this.url = address.href;
    this.report({ kind: "preview", codec });
    const socket = this.socket;
    this.socket = null;
    socket.close(1000);
    this.open();
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
