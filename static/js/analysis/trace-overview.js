// The overview of a recording, without which only short stretches are shown: offered, asked for, and waited for.

const POLL_MS = 1500;

const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";

export class Overview {
  // `say` is called with a sentence when there can be none, `made` when there is one.
  constructor({ section, part, say, made }) {
    Object.assign(this, { section, part, say, made, told: null });
    part("traces-compute").addEventListener("click", () => this.compute());
  }

  // What the server says of the recording.
  of(told) {
    this.told = told;
    this.offer();
  }

  get ready() { return this.told.overview.state === "ready"; }

  offer() {
    const { part, told } = this;
    const { state } = told.overview;
    part("traces-offer").hidden = this.ready;
    part("traces-compute").hidden = !told.may_compute || state === "queued" || state === "running";
    const most = Number((told.readable / told.rate).toPrecision(2));
    const words = { queued: "The overview is queued.", running: "The overview is being made.", failed: "The overview could not be made; its job says why." };
    part("traces-words").textContent = `${words[state] ?? "There is no overview yet."} Until then up to about ${most} s are shown at a time.`;
    const link = part("traces-job");
    link.hidden = !told.overview.job;
    if (told.overview.job) link.href = `/jobs/${told.overview.job}/`;
    if (state === "queued" || state === "running") setTimeout(() => this.follow(), POLL_MS);
  }

  async follow() {
    try {
      const reply = await fetch(`/api/v1/jobs/${this.told.overview.job}/`);
      if (!reply.ok) throw new Error();
      const job = await reply.json();
      if (job.state === "succeeded") { await this.made(); return; }
      this.told.overview.state = job.state;
      this.offer();
      if (job.state === "running") this.part("traces-words").textContent += ` ${Math.round(job.progress * 100)} % done.`;
    } catch {
      setTimeout(() => this.follow(), 4 * POLL_MS);
    }
  }

  async compute() {
    const reply = await fetch("/api/v1/jobs/", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") },
      body: JSON.stringify({ pipeline: "ephys.overview", recordings: [this.section.dataset.recording] }),
    });
    const job = await reply.json();
    if (!reply.ok) { this.say(job.detail); return; }
    this.told.overview = { ...this.told.overview, state: job.state === "succeeded" ? "running" : job.state, job: job.id };
    this.offer();
  }
}
