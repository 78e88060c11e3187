// The open questions of all threads, kept up to date for the inbox, the thread's page and the number in the title.
import { batch, effect, signal } from "./lib.js";
import { away, get, path, post, session } from "./api.js";
import { watch } from "./live.js";

const MOST = 200;

/** Open ones, oldest first; `null` until they are read. */
export const open = signal(null);
/** How many are open. */
export const total = signal(0);
/** What has become of those that were on the screen, by key: `{text, at, prompt, order}`; `order`: when it became known, among readings. */
export const decided = signal({});
export const failed = signal("");

export const keyOf = (prompt) => `${prompt.thread}/${prompt.id}`;

let order = 0;
let reading = null;
let once = false;

export async function read() {
  if (reading) {
    once = true;
    return reading;
  }
  reading = (async () => {
    const begun = (order += 1);
    try {
      const found = await get(`/v1/prompts?limit=${MOST}`);
      took(found.prompts, found.more ?? 0, begun);
      failed.value = (found.damaged ?? []).map((lost) => `${lost.thread}: ${lost.text}`).join(" ");
    } catch (error) {
      if (error.status) failed.value = error.message;
    } finally {
      reading = null;
    }
    if (once) {
      once = false;
      await read();
    }
  })();
  return reading;
}

/** @param {number} begun when the reading began: it says nothing of what was decided later, and may still have it as open */
export function took(listed, more, begun = (order += 1)) {
  const gone = { ...decided.peek() };
  const prompts = listed.filter((prompt) => !(gone[keyOf(prompt)]?.order > begun));
  const still = new Set(prompts.map(keyOf));
  for (const prompt of open.peek() ?? []) {
    const key = keyOf(prompt);
    if (!still.has(key) && !gone[key]) gone[key] = { text: "decided elsewhere, or its call has ended", at: Date.now(), prompt, order: (order += 1) };
  }
  for (const prompt of prompts) delete gone[keyOf(prompt)];
  batch(() => {
    open.value = [...prompts].sort((one, other) => (one.asked_at ?? 0) - (other.asked_at ?? 0));
    total.value = prompts.length + more;
    decided.value = gone;
  });
}

/**
 * Answer a question.
 * @param {any} prompt @param {number|null} selected the index of the choice; `null` dismisses it @param {object} more members of the body
 */
export async function answer(prompt, selected, more = {}) {
  const key = keyOf(prompt);
  const words = selected === null ? "dismissed" : prompt.choices?.[selected];
  const note = (text) => (decided.value = { ...decided.peek(), [key]: { text, at: Date.now(), prompt, order: (order += 1) } });
  try {
    const taken = await post(path("threads", prompt.thread, "choices", prompt.id), { selected, ...more });
    note(taken?.status === "duplicate" ? "it was answered before" : `${words} (by you)`);
  } catch (error) {
    if (![404, 409, 410].includes(error.status)) throw error;
    note(error.message);
  }
  open.value = (open.peek() ?? []).filter((each) => keyOf(each) !== key);
  total.value = Math.max(0, total.peek() - 1);
}

/** To be called once. */
export function start() {
  effect(() => {
    if (session.value) read();
    else batch(() => ((open.value = null), (total.value = 0), (decided.value = {})));
  });
  watch((news) => {
    if ((news.again && !news.slowly) || news.kind === "prompt" || news.kind === "prompt_closed") {
      if (news.kind === "prompt_closed") closed(news);
      if (!away.peek()) read();
    }
  });
}

/** Who decided, where the event says it. */
function closed({ thread, data }) {
  const prompt = (open.peek() ?? []).find((each) => each.thread === thread && each.id === data.id);
  if (!prompt) return;
  const what = data.selected === null || data.selected === undefined ? "ended" : (prompt.choices?.[data.selected] ?? "answered");
  const text = data.user_id ? `${what} (by ${data.user_id === session.peek()?.user ? "you" : data.user_id})` : what;
  decided.value = { ...decided.peek(), [keyOf(prompt)]: { text, at: data.at ?? Date.now(), prompt, order: (order += 1) } };
}
