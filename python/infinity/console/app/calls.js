// What one call has been doing, as the store knows it: when it left and ended, in how many tries, and why the last one failed.
import { useEffect, useState } from "./lib.js";
import { get, path } from "./api.js";
import { exactly, line, span } from "./text.js";

const AGAIN = 5_000;

/**
 * @param {string} thread @param {string} [id] none: nothing is asked @param {string} [state] asked again when it changes, and from time to time while it is `open`
 * @returns {any} the call, `null` until it is known
 */
export function useCall(thread, id, state) {
  const [call, setCall] = useState(null);
  useEffect(() => {
    if (!id) return undefined;
    let over = false;
    // What cannot be read is not said; the page has what the history says.
    const read = () => document.hidden || get(path("threads", thread, "calls", id)).then((found) => over || setCall(found), () => {});
    read();
    const again = state === "open" ? setInterval(read, AGAIN) : 0;
    return () => ((over = true), clearInterval(again));
  }, [thread, id, state]);
  return call;
}

/** @param {any} call as the API has it, or `null` @returns {[string, string][]} names and words */
export function facts(call) {
  if (!call) return [];
  const { attempts, planned_at: planned, sent_at: sent, ended_at: ended } = call;
  return [
    sent && ["Sent", `${exactly(sent)}${planned && sent > planned ? `, after ${span(sent - planned)}` : ""}`],
    sent && ended > sent && ["Answered after", span(ended - sent)],
    call.next_at !== null && attempts > 0 && ["Tries", `${attempts} failed, the next ${call.next_at ? exactly(call.next_at) : "now"}`],
    call.next_at === null && attempts > 1 && ["Tries", String(attempts)],
    call.trouble && ["Trouble", line(call.trouble, 300)],
  ].filter(Boolean);
}
