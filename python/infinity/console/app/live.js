// What happens in all threads, in one place: pages are told which thread changed, or that they have to read again.
import { effect, signal } from "./lib.js";
import { away, failure, get, gone, headers, here, session } from "./api.js";

const EVERY = 4000;
const SLOWLY = 5;
const SILENT = 40_000;
const listeners = new Set();
const TELLING = new Set(["row", "prompt", "prompt_closed", "problem", "status", "child", "slice"]);
let stop = null;
let timer = 0;
let soon = 0;
/** Whether the stream says how rows change; else lists are read again now and then, because work that begins is no event of the stream. */
let rows = false;
export const rowsCome = () => rows;

/** The time, for what ticks: seconds while the page is visible, nothing while it is not. */
export const now = signal(Date.now());

/**
 * Be told what happens. `told` gets `{again: true}` or `{thread, kind, data}`.
 * @returns a function that ends it
 */
export function watch(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

function tell(news) {
  for (const told of listeners) told(news);
}

/** Together, however many changes there are: lists are read again at most every half second. */
export function again() {
  soon ||= setTimeout(() => {
    soon = 0;
    if (!document.hidden) tell({ again: true });
  }, 500);
}

/** What the host is and can, asked for once a session; `null` until it is known. */
export const about = signal(null);

async function begin() {
  end();
  const mine = session.peek();
  try {
    about.value = await get("/v1/about");
  } catch (error) {
    // Hosts of earlier versions do not say it, and stream nothing.
    if (error.status === 401) return;
    about.value = { stream: error.status === 0, models: [] };
  }
  if (mine !== session.peek() || stop || timer) return;
  if (about.value.stream) listen();
  else poll();
}

function listen() {
  end();
  stop = follow({
    path: `/v1/events?rows=1&kinds=${[...TELLING].join()}`,
    after: "latest",
    opened: again,
    event: (kind, data) => {
      if (kind === "row") rows = true;
      if (data.many) again();
      else if (TELLING.has(kind)) tell({ thread: data.thread, kind, data });
    },
    ended: (error) => {
      if (error.status === 410) {
        queueMicrotask(listen);
        return true;
      }
      if (![400, 404, 405, 501].includes(error.status)) return false;
      poll();
      return true;
    },
  });
}

function end() {
  stop?.();
  stop = null;
  clearInterval(timer);
  timer = 0;
}

/** Where the host has no stream of all threads. */
function poll() {
  clearInterval(timer);
  timer = setInterval(() => {
    if (!document.hidden && session.peek()) tell({ again: true });
  }, EVERY);
}

let ticking = 0;
function tick() {
  clearInterval(ticking);
  if (document.hidden) {
    clearInterval(timer);
    return;
  }
  now.value = Date.now();
  let seconds = 0;
  ticking = setInterval(() => {
    now.value = Date.now();
    seconds += 1;
    if (stop && !rows && seconds % SLOWLY === 0 && !away.peek()) tell({ again: true, slowly: true });
  }, 1000);
  if (timer) {
    clearInterval(timer);
    poll();
    tell({ again: true });
  }
}

/** To be called once. */
export function start() {
  document.addEventListener("visibilitychange", tick);
  tick();
  effect(() => (session.value ? begin() : end()));
  let before = 0;
  effect(() => {
    // What was read before the daemon went away may be old.
    if (before && !away.value) again();
    before = away.value;
  });
}

/**
 * Follow a stream of server-sent events until `stop` is called: by fetch, because an EventSource sends no headers; open only while the page is visible, and
 * resumed where it stopped.
 * @param {{path: string, after?: string, event: (kind: string, data: any, id: string) => void, opened?: () => void, ended?: (failure: Error) => boolean}} wanted
 *   `after`: where it begins; `ended`: told of refusals, true to give up.
 */
export function follow({ path, after, event, opened, ended }) {
  let last = after;
  let current = null;
  let stopped = false;
  let waiting = 0;
  let tries = 0;

  const open = async () => {
    clearTimeout(waiting);
    if (stopped || current || document.hidden) return;
    const mine = (current = new AbortController());
    try {
      await read(mine);
      tries = 0;
    } catch (error) {
      if (mine.signal.aborted && mine.signal.reason !== "silent") return;
      if (error.status && ended?.(error)) return stop();
      if (!error.status) gone();
      if (error.status === 401 || !session.peek()) return stop();
    } finally {
      if (current === mine) current = null;
    }
    if (!stopped && !document.hidden) waiting = setTimeout(open, Math.min(15_000, 1000 * 1.6 ** tries++));
  };

  const read = async (mine) => {
    const from = last === undefined ? "" : `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(last)}`;
    const answer = await fetch(path + from, { headers: headers({ Accept: "text/event-stream" }), signal: mine.signal, cache: "no-store" });
    if (!answer.ok) throw await failure(answer, path);
    here();
    tries = 0;
    opened?.();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let silent;
    for (;;) {
      clearTimeout(silent);
      silent = setTimeout(() => mine.abort("silent"), SILENT);
      let piece;
      try {
        piece = await reader.read();
      } finally {
        clearTimeout(silent);
      }
      if (piece.done) return;
      rest += piece.value;
      const frames = rest.split("\n\n");
      rest = frames.pop();
      for (const frame of frames) told(frame);
    }
  };

  const told = (frame) => {
    let kind = "message";
    let data = "";
    let id;
    for (const line of frame.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
      else if (line.startsWith("id: ")) id = line.slice(4);
    }
    if (!data || stopped) return;
    const value = JSON.parse(data);
    event(kind, value, id);
    // The place of the stream that is known before anything happens.
    if (kind === "hello" && value.latest !== undefined) last = value.latest;
    if (id !== undefined) last = id;
  };

  const seen = () => {
    if (document.hidden) close();
    else open();
  };
  const close = () => {
    clearTimeout(waiting);
    current?.abort("closed");
    current = null;
  };
  const stop = () => {
    stopped = true;
    document.removeEventListener("visibilitychange", seen);
    close();
  };
  document.addEventListener("visibilitychange", seen);
  open();
  return stop;
}
