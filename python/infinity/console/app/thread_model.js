// One thread as its page knows it: the description, the entries that are read, and what is streamed right now.
import { batch, signal } from "./lib.js";
import { get, path } from "./api.js";
import { fold } from "./history.js";
import { follow } from "./live.js";

const PAGE = 100;
/** Events before the page was opened that are read again: what became of questions, what failed, lines of calls. */
const PAST = 400;
const DESCRIBED = new Set(["entry", "call", "call_ended", "prompt", "prompt_closed", "subscription", "child", "problem", "status", "slice", "queued", "compaction", "fallback", "row"]);
const QUIET = { text: "", thought: "", calls: [], started: 0 };

export class Model {
  constructor(id) {
    this.id = id;
    this.thread = signal(null);
    this.entries = signal([]);
    /** Whether earlier entries are still to be read. */
    this.more = signal(false);
    this.live = signal(QUIET);
    /** Messages that were accepted and are not in the history yet. */
    this.pending = signal([]);
    /** Open calls by id, with since when. */
    this.open = signal(new Map());
    this.failure = signal(null);
    /** Recent notes: problems and changes of this thread, newest last. */
    this.notes = signal([]);
    /** Questions by id, open and over: `{id, call, kind, choices, asked, closed}`. */
    this.questions = signal(new Map());
    /** Problems of this thread, `{at, code, text}`, oldest first. */
    this.problems = signal([]);
    /** The last event before the page was opened. */
    this.begun = -1;
    /** Lines for people by call. */
    this.lines = new Map();
    this.prepended = 0;
    this.stop = null;
    this.describing = 0;
    this.reading = false;
    this.waiting = null;
    this.ended = false;
  }

  /** Read the thread and the end of its history, then follow it from there. */
  async start() {
    try {
      const thread = await get(path("threads", this.id));
      this.took(thread);
      const position = thread.position ?? 0;
      const after = Math.max(-1, position - PAGE - 1);
      const page = await this.page(after);
      if (this.ended) return;
      batch(() => {
        this.entries.value = page;
        this.more.value = page.length > 0 && page[0].position > 0 && after >= 0;
      });
      this.begun = thread.cursor;
      this.stop = follow({
        path: path("threads", this.id, "events"),
        after: String(Math.max(-1, thread.cursor - PAST)),
        opened: () => this.describe(),
        event: (kind, data, id) => this.heard(kind, data, id !== undefined && Number(id) <= this.begun),
        ended: (error) => {
          if (error.status < 500 && error.status !== 401) this.failure.value = error;
          return error.status === 404 || error.status === 410;
        },
      });
    } catch (error) {
      if (!this.ended) this.failure.value = error;
    }
  }

  close() {
    this.ended = true;
    this.stop?.();
    clearTimeout(this.describing);
    cancelAnimationFrame(this.waiting?.frame ?? 0);
  }

  async page(after, limit = PAGE) {
    try {
      return (await get(`${path("threads", this.id, "entries")}?after=${after}&limit=${limit}`)).entries;
    } catch (error) {
      if (error.code !== "damaged") throw error;
      this.failure.value = error;
      return [];
    }
  }

  /** Read earlier entries. @returns whether any are read now */
  earlier() {
    const first = this.entries.peek()[0]?.position ?? 0;
    if (!this.more.peek() || this.reading) return false;
    this.reading = true;
    const after = Math.max(-1, first - PAGE - 1);
    this.page(after, Math.min(PAGE, first - after - 1))
      .then((page) => {
        if (this.ended) return;
        const found = page.filter((entry) => entry.position < first);
        const before = fold(this.entries.peek(), this.lines).length;
        batch(() => {
          this.entries.value = [...found, ...this.entries.peek()];
          this.more.value = found.length > 0 && found[0].position > 0 && after >= 0;
        });
        this.prepended = fold(this.entries.peek(), this.lines).length - before;
      })
      .catch(() => (this.more.value = false))
      .finally(() => (this.reading = false));
    return true;
  }

  took(thread) {
    const open = new Map();
    for (const reason of thread.explanation?.reasons ?? []) {
      if (reason.kind === "call" || reason.kind === "sleep") open.set(reason.id, reason);
      if (reason.kind === "prompt" && !reason.thread) open.set(reason.id.replace(/^[^.]*\./, ""), reason);
    }
    const running = thread.explanation?.reasons?.find((reason) => reason.kind === "running");
    batch(() => {
      this.thread.value = thread;
      this.open.value = open;
      if (!running) this.live.value = QUIET;
      else if (!this.live.peek().started) this.live.value = { ...this.live.peek(), started: running.since ?? Date.now() };
    });
  }

  /** Ask anew what it waits for: soon, and once for many changes. */
  describe() {
    this.describing ||= setTimeout(async () => {
      this.describing = 0;
      if (document.hidden || this.ended) return;
      try {
        const thread = await get(path("threads", this.id));
        if (!this.ended) this.took(thread);
      } catch (error) {
        if (error.status === 404 || error.status === 410) this.failure.value = error;
      }
    }, 120);
  }

  /** @param {boolean} [past] whether it happened before the page was opened */
  heard(kind, data, past = false) {
    this.recorded(kind, data);
    if (past) return;
    if (kind === "entry") this.entered(data);
    else if (kind === "problem" || kind === "fallback" || kind === "simplified" || kind === "discard") this.notes.value = [...this.notes.peek().slice(-4), { kind, ...data }];
    else if (kind === "slice" && "rounds" in data) this.live.value = QUIET;
    this.streamed(kind, data);
    if (DESCRIBED.has(kind)) this.describe();
  }

  /** What is known of questions, problems and calls beside the history. */
  recorded(kind, data) {
    if (kind === "call" && data.display) this.lines.set(data.id, data.display);
    else if (kind === "problem") this.problems.value = [...this.problems.peek().slice(-199), { at: data.at, code: data.code ?? "", text: data.text ?? "" }];
    else if ((kind === "prompt" || kind === "prompt_closed") && (data.thread ?? this.id) === this.id) this.questions.value = asked(this.questions.peek(), kind, data);
  }

  entered(entry) {
    const entries = this.entries.peek();
    if (entries.length && entry.position <= entries[entries.length - 1].position) return;
    batch(() => {
      this.entries.value = [...entries, entry];
      if (entry.kind === "turn") {
        this.flush(true);
        this.live.value = { ...QUIET, started: this.live.peek().started };
      }
      const id = entry.meta?.message_id;
      if (id) this.pending.value = this.pending.peek().filter((message) => message.id !== id);
    });
  }

  /** Pieces of an answer, put together once a frame. */
  streamed(kind, data) {
    if (kind === "text" || kind === "reasoning") {
      this.waiting ??= { text: "", thought: "", frame: requestAnimationFrame(() => this.flush()) };
      if (kind === "text") this.waiting.text += data.text;
      else this.waiting.thought += data.text;
    } else if (kind === "retract" || kind === "lost") {
      this.flush(true);
      this.live.value = { ...QUIET, started: this.live.peek().started };
    } else if (kind === "call" && !("at" in data) && data.id) {
      this.live.value = { ...this.live.peek(), calls: [...this.live.peek().calls, data] };
    } else if (kind === "slice" && data.state === "started") {
      this.flush(true);
      this.live.value = { ...QUIET, started: Date.now() };
    }
  }

  flush(drop = false) {
    const { waiting } = this;
    this.waiting = null;
    if (!waiting) return;
    cancelAnimationFrame(waiting.frame);
    if (drop) return;
    const live = this.live.peek();
    this.live.value = { ...live, text: live.text + waiting.text, thought: live.thought + waiting.thought, started: live.started || Date.now() };
  }
}

/**
 * Questions with one event more. A question that closes because its call has ended keeps what was decided before.
 * @param {Map<string, any>} known @param {string} kind `prompt` or `prompt_closed` @param {any} data
 * @returns {Map<string, any>}
 */
export function asked(known, kind, data) {
  const found = new Map(known);
  const before = found.get(data.id);
  const call = data.id.slice(data.id.indexOf(".") + 1);
  if (kind === "prompt") found.set(data.id, { id: data.id, call, kind: data.prompt_kind, tool: data.tool, choices: data.choices, words: data.prompt, asked: data.at ?? data.asked_at });
  else if (!before?.closed) found.set(data.id, { id: data.id, call, ...before, closed: { at: data.at, selected: data.selected ?? null, user: data.user_id ?? null, alone: Boolean(data.unanswered) } });
  return found;
}
