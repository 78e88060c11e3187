// Server-sent events over fetch, because an EventSource sends no headers: open only while the page is visible, resumed where it stopped.
import { failure, gone, headers, here, session } from "./api.js";

const SILENT = 40_000;

/**
 * Follow a stream until `stop` is called.
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
    event(kind, JSON.parse(data), id);
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
