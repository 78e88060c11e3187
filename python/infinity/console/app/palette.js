// Everything by its name: pages, threads, and what can be done with the thread that is open.
import { html, useEffect, useRef, useState } from "./lib.js";
import { get } from "./api.js";
import { go, thread as address } from "./router.js";
import { says } from "./threads.js";
import { actions, Dialog, help, palette, State, tail, turn } from "./ui.js";
import { stateOf, titleOf } from "./words.js";

const MOST = 8;
const PAGES = [
  ["Threads", "/"],
  ["Inbox", "/inbox"],
  ["Costs", "/costs"],
  ["Tools", "/tools"],
  ["Waits", "/waits"],
];

/** What has all words of a text in its name, in its order. */
export function matching(list, text) {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter(({ words: name }) => words.every((word) => name.toLowerCase().includes(word)));
}

export default function Palette() {
  const [text, setText] = useState("");
  const [rows, setRows] = useState([]);
  const [at, setAt] = useState(0);
  const list = useRef(null);
  useEffect(() => {
    let left = false;
    const query = text.trim() ? `&q=${encodeURIComponent(text.trim().slice(0, 500))}` : "";
    const waiting = setTimeout(() => {
      get(`/v1/threads?limit=${MOST}&explain=1${query}`).then(
        (page) => left || setRows(page.threads),
        () => left || setRows([]),
      );
    }, query ? 150 : 0);
    return () => ((left = true), clearTimeout(waiting));
  }, [text]);
  const fixed = [
    ...actions.value.map((action) => ({ ...action, kind: "here" })),
    ...PAGES.map(([words, href]) => ({ words, kind: "page", run: () => go(href) })),
    { words: "Live tail", kind: "page", run: () => (tail.value = true) },
    { words: "Keys", kind: "page", run: () => (help.value = true) },
    { words: "Colours: light, dark or as the system has it", kind: "page", run: turn },
  ];
  const threads = rows.map((row) => ({ words: titleOf(row) || row.id, row, kind: "thread", run: () => go(address(row.id)) }));
  // What was found for an earlier text and does not fit this one is left out until the answer is there.
  const offered = (wanted) => [...matching(fixed, wanted), ...threads.filter(({ row }) => says(row, wanted))];
  const shown = offered(text);
  const chosen = Math.min(at, shown.length - 1);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [chosen]);
  const run = (item) => {
    if (!item) return;
    palette.value = false;
    item.run();
  };
  const key = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((chosen + step + shown.length) % Math.max(1, shown.length));
    // Who types and presses Enter at once means what is written, and not what was drawn before.
    else if (event.key === "Enter" && !event.isComposing) run(event.target.value === text ? shown[chosen] : offered(event.target.value)[0]);
    else return;
    event.preventDefault();
  };
  return html`<${Dialog} open close=${() => (palette.value = false)} title="Go to, or do">
    <input value=${text} onInput=${(event) => (setText(event.target.value), setAt(0))} onKeyDown=${key} placeholder="A page, a thread, an action" aria-label="A page, a thread, an action" role="combobox"
      aria-expanded="true" aria-controls="palette" aria-activedescendant=${shown.length ? `palette-${chosen}` : undefined} autocomplete="off" spellcheck=${false} />
    <ul id="palette" class="palette" role="listbox" aria-label="What was found" ref=${list}>${shown.map((item, index) => html`<li key=${`${item.kind} ${item.row?.id ?? item.words}`} id=${`palette-${index}`} role="option" aria-selected=${index === chosen ? "true" : "false"}
      onClick=${() => run(item)} onMouseMove=${() => setAt(index)}><span class="title">${item.words}</span>${item.row ? html`<${State} state=${stateOf(item.row)} />` : html`<span class="muted">${{ here: "this thread", page: "" }[item.kind]}</span>`}</li>`)}</ul>
    ${!shown.length && html`<p class="muted">Nothing has these words.</p>`}</${Dialog}>`;
}
