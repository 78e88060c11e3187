// Every request of the page: signed with the page key, keyed where it changes something, and with an outcome that can be shown.
import { signal } from "./lib.js";

const STORED = "infinity.session";

/** `undefined` while nobody knows, `null` without a session. */
export const session = signal(read());
/** Why there is no session, in words; empty at first. */
export const refused = signal("");
/** Since when the daemon does not answer, in ms since the epoch; 0 while it does. */
export const away = signal(0);

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? null;
  } catch {
    return null;
  }
}

/** What went wrong: `status` is 0 where nobody answered. */
export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// A session that begins or ends in one tab does so in all.
addEventListener("storage", (event) => {
  if (event.key === STORED) session.value = read();
});

/** Exchange a one-time code for a session. */
export async function signIn(code) {
  refused.value = "";
  const made = await request("POST", "/v1/console/session", { code: code.trim() });
  localStorage.setItem(STORED, JSON.stringify(made));
  session.value = made;
}

export async function signOut() {
  try {
    await request("DELETE", "/v1/console/session");
  } finally {
    forget("");
  }
}

function forget(why) {
  localStorage.removeItem(STORED);
  refused.value = why;
  session.value = null;
  // Nobody asks it any more.
  away.value = 0;
}

export function headers(more = {}) {
  const key = session.peek()?.key;
  return key ? { "Infinity-Console": key, ...more } : more;
}

export const get = (path, options) => request("GET", path, undefined, options);
export const remove = (path) => request("DELETE", path);
/** `key`: of the same wish when it is sent again; else a new one. */
export const post = (path, body = {}, key = crypto.randomUUID()) => request("POST", path, body, { key });

/** Segments of a path, each as it is. */
export function path(...segments) {
  return `/v1/${segments.map(encodeURIComponent).join("/")}`;
}

async function request(method, where, body, { key, signal: aborted } = {}) {
  const sent = headers(body === undefined ? {} : { "Content-Type": "application/json" });
  if (key) sent["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(where, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), signal: aborted, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    gone();
    throw new Failure(0, "away", "The daemon does not answer. Nothing was lost; try again when it is back.");
  }
  here();
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw await failure(answer, where);
}

/** What an answer says that is not a good one; 401 ends the session. */
export async function failure(answer, where) {
  let told = {};
  try {
    told = (await answer.json()).error ?? {};
  } catch {
    // Not every answer is ours; its status says enough.
  }
  if (answer.status === 401 && where !== "/v1/console/session") forget(!session.peek() ? "" : told.code === "unauthorized" || !told.message ? "The session has ended." : told.message);
  return new Failure(answer.status, told.code ?? String(answer.status), told.message ?? `The daemon answered ${answer.status}.`);
}

export function gone() {
  away.value ||= Date.now();
}

export function here() {
  away.value = 0;
}
