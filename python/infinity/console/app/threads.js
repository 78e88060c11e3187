// All conversations: who works, who waits for whom, and who needs a person.
import { batch, computed, html, signal, useEffect } from "./lib.js";
import { get } from "./api.js";
import { bind } from "./keys.js";
import { Rows, useNarrow } from "./list.js";
import { about, again as soon, now, rowsCome, watch } from "./live.js";
import { go, route, thread as address } from "./router.js";
import { count, dollars, line } from "./text.js";
import { converse, Say, Since, State } from "./ui.js";
import { stateOf, titleOf, whyOf } from "./words.js";

const PAGE = 100;
const CHIPS = {
  needs: { words: "Needs you", query: "attention=prompt", holds: (state) => state === "asks" },
  working: { words: "Working", query: "state=running,queued,waiting", holds: (state) => state === "working" || state === "waits" },
  stuck: { words: "Stuck", query: "attention=problem", holds: (state) => state === "stuck" || state === "damaged" },
  all: { words: "All", query: "", holds: () => true },
  closed: { words: "Closed", query: "status=closed", holds: (state) => state === "closed" },
};

/** What the numbers on the chips count: threads of those that were read; the inbox counts questions. */
const COUNTED = { needs: "Threads that ask somebody something; the number at Inbox counts the questions", working: "Threads that work or wait for something", stuck: "Threads that go on only when somebody helps" };

const rows = signal(null);
const chip = signal("all");
const words = signal("");
const model = signal("");
const selected = signal(-1);
const failed = signal("");
/** A page that was read and is not shown yet, so that nothing moves under a pointer. */
const newer = signal(null);
const next = signal(null);
let generation = 0;
let reading = false;

/** Whether a row is found by a search, as the daemon finds it: by the beginning of its id, or by words of its title and its first words. */
export function says(row, text) {
  const wanted = text.trim();
  const named = `${row.title ?? ""}\n${row.opening ?? ""}`.toLowerCase();
  return !wanted || row.id.startsWith(wanted) || wanted.toLowerCase().split(/\s+/).every((word) => named.includes(word));
}

function answeredBy(row) {
  return row.model || about.peek()?.default_model;
}

/** Whether the chip and the search leave a row in the list. */
function wanted(row) {
  return CHIPS[chip.value].holds(stateOf(row)) && says(row, words.value) && (!model.value || answeredBy(row) === model.value);
}

const shown = computed(() => {
  return nested((rows.value ?? []).filter(wanted));
});
/** Rows by id, as they were last heard of, whatever the chip leaves out: what the chips count. */
const seen = signal(new Map());
function saw(found, anew = false) {
  const all = new Map(anew ? [] : seen.peek());
  for (const row of found) all.set(row.id, row);
  seen.value = all;
}

const counts = computed(() => {
  const states = [...seen.value.values()].map(stateOf);
  return Object.fromEntries(Object.entries(CHIPS).map(([name, { holds }]) => [name, states.filter(holds).length]));
});
const fresh = computed(() => {
  const known = new Map((rows.value ?? []).map((row) => [row.id, row]));
  return (newer.value ?? []).filter((row) => !known.has(row.id) && wanted(row)).length;
});

/** Children under their root, where that is in the list; everything else keeps its place. */
export function nested(list) {
  const ids = new Set(list.map((row) => row.id));
  const under = new Map();
  const out = [];
  for (const row of list) if (row.parent && ids.has(row.root)) under.set(row.root, [...(under.get(row.root) ?? []), row]);
  for (const row of list) {
    if (row.parent && ids.has(row.root)) continue;
    out.push(row, ...(under.get(row.id) ?? []).map((child) => ({ ...child, nested: true })));
  }
  return out;
}

function query(after) {
  const parts = [`limit=${PAGE}`, "explain=1", CHIPS[chip.peek()].query];
  if (after) parts.push(`after=${encodeURIComponent(after)}`);
  if (model.peek()) parts.push(`model=${encodeURIComponent(model.peek())}`);
  if (words.peek().trim()) parts.push(`q=${encodeURIComponent(words.peek().trim())}`);
  return `/v1/threads?${parts.filter(Boolean).join("&")}`;
}

/** Read the first page anew; what was read before it stays where it is. */
async function read({ quietly = false } = {}) {
  const mine = quietly ? generation : (generation += 1);
  reading = true;
  try {
    const page = await get(query());
    if (mine !== generation) return;
    failed.value = "";
    saw(page.threads, !quietly && chip.peek() === "all" && !words.peek().trim() && !model.peek());
    if (quietly && rows.peek()) return merge(page.threads);
    batch(() => ((rows.value = page.threads), (next.value = page.next), (newer.value = null), (selected.value = -1)));
    queueMicrotask(() => fill(mine));
  } catch (error) {
    if (mine === generation && error.status) failed.value = error.message;
  } finally {
    if (mine === generation) reading = false;
  }
}

/** Rows change in their places; those that are new wait behind the pill. */
function merge(page) {
  const found = new Map(page.map((row) => [row.id, row]));
  const known = new Set(rows.peek().map((row) => row.id));
  batch(() => {
    rows.value = rows.peek().map((row) => found.get(row.id) ?? row);
    if (page.some((row) => !known.has(row.id))) newer.value = page;
    if (!rows.peek().length && page.length) show();
  });
}

function show() {
  if (!newer.peek()) return;
  const ids = new Set(newer.peek().map((row) => row.id));
  batch(() => ((rows.value = [...newer.peek(), ...rows.peek().filter((row) => !ids.has(row.id))]), (newer.value = null)));
  scrollTo(0, 0);
}

/** A page looks at a bounded number of threads, and a filter may leave little of it: read on until the window is full, within reason. */
async function fill(mine, pages = 40) {
  for (let page = 0; page < pages && mine === generation && next.peek() && shown.peek().length < 30; page += 1) await more();
}

async function more() {
  if (reading || !next.peek()) return;
  const mine = generation;
  reading = true;
  try {
    const page = await get(query(next.peek()));
    if (mine !== generation) return;
    saw(page.threads);
    const known = new Set(rows.peek().map((row) => row.id));
    batch(() => ((rows.value = [...rows.peek(), ...page.threads.filter((row) => !known.has(row.id))]), (next.value = page.next)));
  } catch (error) {
    failed.value = error.message;
    next.value = null;
  } finally {
    reading = false;
  }
}

function heard({ again, kind, thread, data }) {
  if (again) return void read({ quietly: true });
  if (kind !== "row") return rowsCome() ? undefined : void soon();
  if (!rows.peek()) return undefined;
  const row = data.row ?? data;
  if (row.id !== (thread ?? row.id) || !row.status) return undefined;
  saw([row]);
  if (rows.peek().some((each) => each.id === row.id)) rows.value = rows.peek().map((each) => (each.id === row.id ? row : each));
  else newer.value = [row, ...(newer.peek() ?? []).filter((each) => each.id !== row.id)];
  return undefined;
}

let typed = 0;
function search(text) {
  words.value = text;
  clearTimeout(typed);
  typed = setTimeout(() => read(), 200);
}

function ask(name) {
  model.value = name;
  read();
}

function choose(name) {
  if (chip.peek() === name) return;
  chip.value = name;
  history.replaceState(null, "", name === "all" ? "/" : `/?show=${name}`);
  read();
}

function move(step) {
  const last = shown.peek().length - 1;
  selected.value = Math.min(last, Math.max(0, selected.peek() + step));
}

export function Threads() {
  const narrow = useNarrow();
  useEffect(() => {
    const wanted = route.peek().query.get("show");
    chip.value = CHIPS[wanted] ? wanted : "all";
    read();
    const unwatch = watch(heard);
    const unbind = bind({
      j: () => move(1),
      k: () => move(-1),
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Enter: (event) => {
        const row = shown.peek()[selected.peek()];
        if (row && !(event.target instanceof HTMLButtonElement)) go(address(row.id));
        else event.target.click?.();
      },
      "/": () => document.getElementById("search")?.focus(),
      ".": show,
      i: () => document.getElementById("say")?.focus(),
    });
    return () => (unwatch(), unbind());
  }, []);
  const list = shown.value;
  const models = known(about.value, [...seen.value.values()], model.value);
  return html`<div class="page threads"><h1 class="hidden">Threads</h1>
    <div class="filters"><div class="chips" role="group" aria-label="Which threads">${Object.entries(CHIPS).map(([name, { words: label }]) => html`<button key=${name} class="chip"
      aria-pressed=${chip.value === name ? "true" : "false"} title=${COUNTED[name]} onClick=${() => choose(name)}>${label}${COUNTED[name] && counts.value[name] > 0 && html` <span class="number">${count(counts.value[name])}</span>`}</button>`)}</div>
      <input id="search" type="search" placeholder="Search  ( / )" aria-label="Search titles, first words and ids" value=${words.value} onInput=${(event) => search(event.target.value)} />
      ${models.length > 1 && html`<label class="model"><span class="only-wide">Model</span> <select aria-label="Model" value=${model.value} onChange=${(event) => ask(event.target.value)}><option value="">any model</option>${models.map((name) => html`<option key=${name} value=${name}>${line(name, 40)}</option>`)}</select></label>`}</div>
    ${fresh.value > 0 && html`<button class="pill" onClick=${show}>${fresh.value} newer · press . to show</button>`}
    ${failed.value && html`<p class="refused" role="alert">${failed.value}</p>`}
    ${rows.value === null ? null : list.length ? html`<${Rows} items=${list} height=${narrow ? 76 : 44} label="Threads" more=${more} selected=${selected.value} draw=${(row, index) => html`<${Row} row=${row} selected=${selected.value === index} />`} />` : html`<${Nothing} />`}
    ${list.length > 12 && html`<p class="muted end">${count(list.length)} shown${next.value ? "; more follow as you scroll" : ""}</p>`}
    <div class="foot"><${Say} id="new" label="Start a conversation" placeholder="Start a conversation …" send=${(text) => converse(text)} /></div></div>`;
}

/** Models to choose from: those that the host names and those of the rows. */
function known(host, listed, chosen) {
  return [...new Set([chosen, host?.default_model, ...(host?.models ?? []).map((each) => each.name), ...listed.map((row) => row.model)].filter(Boolean))].sort();
}

function Nothing() {
  const told = {
    needs: "Nobody needs you.",
    working: "Nothing is at work.",
    stuck: "Nothing is stuck.",
    closed: "No thread is closed.",
  }[chip.value];
  if (words.value.trim()) return html`<div class="empty"><p>${next.value ? "Looking on …" : html`No thread has “${words.value}” in its title or its first words, or an id that begins so.`}</p></div>`;
  return html`<div class="empty"><p>${told ?? html`No threads yet. Say something below, or run <code>infinity demo --console</code>.`}</p></div>`;
}

function Row({ row, selected: chosen }) {
  const state = stateOf(row);
  const { reason } = row;
  const whole = row.tree_cost !== undefined;
  const cost = row.tree_cost ?? row.cost ?? 0;
  return html`<a class=${`row ${state}${chosen ? " chosen" : ""}${row.nested ? " child" : ""}`} href=${address(row.id)} aria-current=${chosen ? "true" : undefined}>
    <${State} state=${state} /><span class="title">${row.nested && html`<span aria-hidden="true">└ </span>`}${titleOf(row) || html`<span class="id">${row.id}</span>`}</span>
    <span class="why">${whyOf(row)}${reason?.until > now.value ? html` <${Until} at=${reason.until} />` : ""}${row.more > 0 && ` and ${row.more} more`}</span>
    <span class="cost" title=${whole ? "of the whole conversation, children included" : "of this thread"}>${dollars(cost)}</span><span class="age"><${Since} at=${reason?.since ?? row.updated_at} /></span></a>`;
}

function Until({ at }) {
  return html`until ${new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}
