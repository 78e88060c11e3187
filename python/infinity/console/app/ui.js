// What several pages use: something said for a moment, an action with its outcome, a window over the page, the time since something.
import { html, signal, useEffect, useRef, useState } from "./lib.js";
import { post } from "./api.js";
import { now } from "./live.js";
import { go } from "./router.js";
import { ago, exactly, plain } from "./text.js";
import { STATES } from "./words.js";

const THEME = "infinity.theme";
const THEMES = ["system", "light", "dark"];

/** Light, dark, or as the system has it. */
export const chosen = signal(localStorage.getItem(THEME) ?? "system");

export function theme() {
  document.documentElement.dataset.theme = chosen.value;
}

/** The next of the three. */
export function turn() {
  chosen.value = THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length];
  localStorage.setItem(THEME, chosen.value);
  theme();
}

/** Whether the list of keys is open. */
export const help = signal(false);

/** Whether the drawer with what happens is open, and whether the list of everything is. */
export const tail = signal(false);
export const palette = signal(false);

/** What can be done on the page that is open, for the list of everything: `{words, run}`. */
export const actions = signal([]);

/** Said for a moment. */
export const said = signal("");
let silence = 0;

/** Say what came of something, for a moment. */
export function tell(text) {
  said.value = plain(text);
  clearTimeout(silence);
  silence = setTimeout(() => (said.value = ""), 8000);
}

/** Do something and say how it ended. @returns whether it succeeded */
export async function act(doing, done = "") {
  try {
    await doing();
    if (done) tell(done);
    return true;
  } catch (error) {
    tell(error.message);
    return false;
  }
}

/** A window of its own over the page; Esc closes it. */
export function Dialog({ open, close, title, children }) {
  const show = (element) => {
    if (element && open && !element.open) {
      element.showModal();
      // What is typed next belongs into the field, and a space must not press the button that closes.
      const field = element.querySelector("input, select, textarea");
      field?.focus();
      field?.select?.();
    } else if (element && !open && element.open) element.close();
  };
  if (!open) return null;
  return html`<dialog ref=${show} onClose=${close} aria-label=${title}>
    <header><h2>${title}</h2><button class="quiet" onClick=${close} aria-label="Close">✕</button></header>${children}</dialog>`;
}

/** Begin a conversation, and go there. @param {string} text @param {{model?: string, title?: string} | string} [more] of the thread */
export async function converse(text, more = {}) {
  const title = plain(text.trim().split("\n")[0]).slice(0, 80);
  const made = await post("/v1/threads", { title, ...more });
  await post(`/v1/threads/${encodeURIComponent(made.id)}/messages`, { content: text });
  go(`/t/${encodeURIComponent(made.id)}`);
}

/** How long ago, ticking; the moment itself on hover. */
export function Since({ at, words = "" }) {
  if (!at) return null;
  return html`<time datetime=${new Date(at).toISOString()} title=${exactly(at)}>${words}${ago(at, now.value)}</time>`;
}

/** A state: its shape and its word. */
export function State({ state, words }) {
  const { shape, word } = STATES[state] ?? STATES.idle;
  return html`<span class=${`state ${state}`}><span class="shape" aria-hidden="true">${shape}</span> ${words ?? word}</span>`;
}

/** A menu that opens below its button and closes with Esc, a choice, or a press elsewhere. */
export function Menu({ label, title, children }) {
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const elsewhere = (event) => !root.current?.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", elsewhere);
    document.addEventListener("focusin", elsewhere);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      document.removeEventListener("focusin", elsewhere);
    };
  }, [open]);
  const key = (event) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    event.preventDefault();
    setOpen(false);
    root.current?.querySelector("button").focus();
  };
  return html`<div class="menu" ref=${root} onKeyDown=${key}>
    <button class="quiet" aria-expanded=${open ? "true" : "false"} aria-label=${title} title=${title} onClick=${() => setOpen(!open)}>${label}</button>
    ${open && html`<div class="items" onClick=${() => setOpen(false)}>${children}</div>`}</div>`;
}

/** A field for several lines that grows; Enter sends, Shift-Enter begins a new line. Its text is kept until it was sent. */
export function Say({ id, label, placeholder, send }) {
  const stored = `infinity.draft.${id}`;
  const [text, setText] = useState(() => localStorage.getItem(stored) ?? "");
  const [busy, setBusy] = useState(false);
  const wish = useRef(null);
  const write = (value) => {
    setText(value);
    // Another text is another wish; the same one sent again counts once.
    wish.current = null;
    if (value) localStorage.setItem(stored, value);
    else localStorage.removeItem(stored);
  };
  useEffect(() => setText(localStorage.getItem(stored) ?? ""), [stored]);
  const submit = async (event) => {
    event?.preventDefault();
    if (!text.trim() || busy) return;
    setBusy(true);
    wish.current ??= crypto.randomUUID();
    try {
      await send(text, wish.current);
      write("");
    } catch (error) {
      tell(error.message);
    } finally {
      setBusy(false);
    }
  };
  const key = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  return html`<form class="say" onSubmit=${submit}><div class="grow" data-text=${text + "\u200b"}>
    <textarea id="say" rows="1" value=${text} aria-label=${label} placeholder=${placeholder} onInput=${(event) => write(event.target.value)} onKeyDown=${key}></textarea></div>
    <button class="main" disabled=${busy || !text.trim()}>${busy ? "Sending" : "Send"}</button></form>`;
}
