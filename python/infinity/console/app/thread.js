// The page of one thread: the conversation, why it waits, and what can be done with it.
import { html, useEffect, useMemo, useState } from "./lib.js";
import { get, path, post, remove } from "./api.js";
import { Conversation } from "./conversation.js";
import { ForkDialog } from "./fork.js";
import { bind } from "./keys.js";
import { useNarrow } from "./list.js";
import { about } from "./live.js";
import Raw from "./raw.js";
import { go, route, thread as address } from "./router.js";
import { dollars, line, moment, Shown, tokens } from "./text.js";
import { Model } from "./thread_model.js";
import Timeline from "./timeline.js";
import { act, actions, Dialog, Menu, Say, Since, State, tell } from "./ui.js";
import { Why } from "./why.js";
import { isFork, stateOf, stateOfThread, titleOf, whyOf } from "./words.js";

const VIEWS = { talk: "Conversation", timeline: "Timeline", tree: "Tree", raw: "Raw" };

export default function Thread() {
  const { id } = route.value;
  return html`<${Of} key=${id} id=${id} />`;
}

function Of({ id }) {
  const model = useMemo(() => new Model(id), [id]);
  const narrow = useNarrow();
  const [side, setSide] = useState(false);
  useEffect(() => {
    model.start();
    return () => model.close();
  }, [model]);
  useEffect(() => bind({ i: () => document.getElementById("say")?.focus(), Escape: () => go("/"), "[": () => message(-1), "]": () => message(1), e: fold }), []);
  const thread = model.thread.value;
  const failure = model.failure.value;
  const view = VIEWS[route.value.query.get("view")] ? route.value.query.get("view") : "talk";
  useEffect(() => {
    if (thread) document.title = `${document.title.match(/^\(\d+\) /)?.[0] ?? ""}${titleOf(thread) || thread.id} · Infinity`;
  }, [thread?.title]);
  if (failure && !thread) return html`<div class="lone"><h1>Thread <span class="id"><${Shown} text=${id} exact /></span></h1><p role="alert">${failure.message}</p><p><a href="/">All threads</a></p></div>`;
  if (!thread) return null;
  const waits = (thread.prompts ?? []).length + (thread.explanation?.reasons ?? []).filter((reason) => reason.kind !== "prompt").length;
  const tabs = [...Object.entries(VIEWS).map(([name, words]) => ({ name, words, href: address(id, name === "talk" ? "" : `?view=${name}`) }))];
  const aside = !narrow || side;
  return html`<div class=${`page thread ${side ? "side" : ""}`}><div class="top"><${Head} thread=${thread} />
    <nav class="tabs" aria-label="Views">${tabs.map(({ name, words, href }) => html`<a key=${name} href=${href} aria-current=${view === name && !(narrow && side) ? "page" : undefined} onClick=${() => setSide(false)}>${words}</a>`)}
      ${narrow && html`<button aria-pressed=${side ? "true" : "false"} onClick=${() => setSide(!side)}>Waits${waits ? ` ${waits}` : ""}</button>`}</nav></div>
    ${failure && html`<p class="refused" role="alert">${failure.message}</p>`}<${ForkDialog} thread=${thread} />
    <div class="columns"><div class="main" hidden=${narrow && side}>${view === "talk" ? html`<${Conversation} model=${model} />` : view === "timeline" ? html`<${Timeline} model=${model} />` : view === "tree" ? html`<${Tree} thread=${thread} />` : html`<${Raw} model=${model} />`}
        ${narrow && !side && asksHere(thread) && html`<button class="pill asks-you" onClick=${() => setSide(true)}>◆ It asks you something: answer</button>`}
        ${view === "talk" && html`<div class="foot"><${Notes} model=${model} />${thread.status === "closed" ? html`<p class="muted">This thread is closed.</p>` : html`<${Say} id=${id} label="Say something" placeholder=${working(thread) ? "Say something (it is working) …" : "Say something …"} send=${(text, wish) => say(model, text, wish)} />`}</div>`}</div>
      ${aside && html`<aside><${Why} thread=${thread} /><${Facts} thread=${thread} /></aside>`}</div></div>`;
}

function asksHere(thread) {
  return (thread.prompts ?? []).length > 0;
}

function working(thread) {
  return ["running", "queued"].includes(thread.explanation?.state);
}

async function say(model, text, wish) {
  const taken = await post(path("threads", model.id, "messages"), { content: text }, wish);
  if (taken.status === "discarded") throw new Error("It was not taken: the thread is closed.");
  const there = model.entries.peek().some((entry) => entry.meta?.message_id === taken.id);
  if (taken.id && !there) model.pending.value = [...model.pending.peek(), { id: taken.id, text }];
}

/** The message of a person before or after what is on the screen. */
function message(step) {
  const found = [...document.querySelectorAll('[data-kind="said"]')];
  const top = (element) => element.getBoundingClientRect().top;
  const wanted = step < 0 ? found.reverse().find((each) => top(each) < 90) : found.find((each) => top(each) > 130);
  wanted?.scrollIntoView({ block: "start" });
  if (wanted) wanted.focus({ preventScroll: true });
}

function fold() {
  const details = document.activeElement?.closest("details");
  if (details) details.open = !details.open;
}

function Head({ thread }) {
  const [dialog, setDialog] = useState("");
  const state = stateOfThread(thread);
  const of = (action) => path("threads", thread.id, action);
  const since = thread.explanation?.reasons?.find((reason) => reason.since)?.since;
  const { spent = {}, budget = {} } = thread;
  const cost = spent.dollars || budget.dollars ? `${dollars(spent.dollars) || "$0"}${budget.dollars ? ` of $${budget.dollars.toFixed(2)}` : ""}` : spent.tokens ? tokens(spent.tokens) : "";
  const ended = thread.status === "closed";
  const simple = (words, action, done) => ({ words, run: () => act(() => post(of(action), {}), done) });
  const choices = [
    !ended && simple("Interrupt: end the answer and open calls", "interrupt", "Interrupted."),
    !ended && thread.status !== "stopped" && simple("Stop until it is resumed", "stop", "Stopped."),
    !ended && simple("Resume", "resume", "It goes on."),
    !ended && simple("Summarise the history", "compact", "The history is being summarised."),
    !ended && { words: "Name this thread", run: () => setDialog("title") },
    !ended && { words: "Change the model", run: () => setDialog("model") },
    { words: "Copy the id", run: () => act(() => navigator.clipboard.writeText(thread.id), "The id is copied.") },
    !ended && { words: "Close for good", run: () => setDialog("close") },
    !thread.parent && { words: "Delete the conversation", danger: true, run: () => setDialog("delete") },
  ].filter(Boolean);
  useEffect(() => {
    const views = Object.entries(VIEWS).map(([name, words]) => ({ words: `Show: ${words}`, run: () => go(address(thread.id, name === "talk" ? "" : `?view=${name}`)) }));
    actions.value = [...choices, ...views];
    return () => (actions.value = []);
  }, [thread.id, thread.status]);
  return html`<header class="head"><a class="back" href=${thread.parent ? address(thread.parent) : "/"} aria-label=${thread.parent ? "To the parent thread" : "To all threads"}>‹</a>
    <h1><button class="quiet name" onClick=${() => setDialog("title")} disabled=${ended} title=${ended ? "A closed thread keeps its name" : "Name this thread"}>${titleOf(thread) || thread.id}</button></h1><${State} state=${state} /><span class="muted only-wide"><${Since} at=${since} /></span><span class="spring"></span>
    <button class="quiet only-wide" onClick=${() => setDialog("model")} disabled=${ended} title="Change the model">${line(thread.model ?? "default model", 40)}</button>
    <span class="muted cost" title="of the whole conversation, children included">${cost}</span>
    ${working(thread) && html`<button onClick=${() => act(() => post(of("interrupt"), {}), "Interrupted.")}>Interrupt</button>`}
    <${Menu} label="⋯" title="What can be done with this thread">
      ${choices.map(({ words, run, danger }) => html`<button key=${words} class=${danger ? "danger" : ""} onClick=${run}>${words}</button>`)}</${Menu}>
    <${Naming} open=${dialog === "title"} close=${() => setDialog("")} thread=${thread} />
    <${ModelDialog} open=${dialog === "model"} close=${() => setDialog("")} thread=${thread} />
    <${Sure} open=${dialog === "close"} close=${() => setDialog("")} title="Close this thread for good" words="It takes no more messages. What was said stays readable." verb="Close it" doing=${() => act(() => post(of("close"), {}), "Closed.")} />
    <${Sure} open=${dialog === "delete"} close=${() => setDialog("")} title="Delete the whole conversation" words="The thread and all of its children are deleted for good: what was said, calls, questions and events. This cannot be undone." verb="Delete it" typed="delete"
      doing=${() => act(async () => (await remove(path("threads", thread.id)), go("/")), "Deleted.")} /></header>`;
}

function Sure({ open, close, title, words, verb, typed, doing }) {
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    close();
    setText("");
    doing();
  };
  return html`<${Dialog} open=${open} close=${close} title=${title}><form onSubmit=${submit}><p>${words}</p>
    ${typed && html`<label>Type “${typed}” <input value=${text} onInput=${(event) => setText(event.target.value)} autocomplete="off" /></label>`}
    <div class="answers"><button type="button" onClick=${close}>Keep it</button><button class="danger" disabled=${typed && text.trim() !== typed}>${verb}</button></div></form></${Dialog}>`;
}

function Naming({ open, close, thread }) {
  const [title, setTitle] = useState("");
  useEffect(() => setTitle(thread.title ?? ""), [open]);
  const submit = async (event) => {
    event.preventDefault();
    if (await act(() => post(path("threads", thread.id, "title"), { title: title.trim() }), "Named.")) close();
  };
  return html`<${Dialog} open=${open} close=${close} title="Name this thread"><form onSubmit=${submit}><label>Title <input value=${title} maxlength="500" onInput=${(event) => setTitle(event.target.value)} placeholder="its first words" /></label>
    <div class="answers"><button class="main">Save</button></div></form></${Dialog}>`;
}

function ModelDialog({ open, close, thread }) {
  const [name, setName] = useState(thread.model ?? "");
  const known = (about.value?.models ?? []).map((each) => each.name);
  const submit = async (event) => {
    event.preventDefault();
    if (await act(() => post(path("threads", thread.id, "model"), { model: name.trim() }), "The model is changed; the next answer comes from it.")) close();
  };
  return html`<${Dialog} open=${open} close=${close} title="Change the model"><form onSubmit=${submit}><label>Model <input value=${name} list="models" onInput=${(event) => setName(event.target.value)} required spellcheck=${false} placeholder="anthropic/claude-haiku-5-5" /></label>
    <datalist id="models">${known.map((each) => html`<option value=${each} key=${each} />`)}</datalist><div class="answers"><button class="main">Change it</button></div></form></${Dialog}>`;
}

function Notes({ model }) {
  const notes = model.notes.value;
  if (!notes.length) return null;
  const note = notes[notes.length - 1];
  return html`<p class="note" role="status"><${Shown} text=${note.text ?? note.reason ?? note.kind} /> <button class="quiet" aria-label="Take the note away" onClick=${() => (model.notes.value = [])}>✕</button></p>`;
}

function Facts({ thread }) {
  const { usage = {} } = thread;
  const rows = [
    ["Id", html`<span class="id">${thread.id}</span>`],
    thread.parent && [isFork(thread) ? "Fork of" : "Parent", html`<a href=${address(thread.parent)}>${thread.parent}</a>`],
    isFork(thread) && ["Beside it", html`<a href=${`/compare/${encodeURIComponent(thread.parent)}/${encodeURIComponent(thread.id)}`}>compare</a>`],
    ["Made", thread.created_at ? moment(thread.created_at) : ""],
    thread.model && ["Model", line(thread.model, 60)],
    thread.context_tokens && ["Context", tokens(thread.context_tokens)],
    usage.input !== undefined && ["Used", `${tokens(usage.input + usage.cache_read + usage.cache_write)} in, ${tokens(usage.output)} out`],
    usage.cache_read > 0 && ["From cache", `${Math.round((100 * usage.cache_read) / (usage.input + usage.cache_read + usage.cache_write))} %`],
    thread.children > 0 && ["Children", html`<a href=${address(thread.id, "?view=tree")}>${thread.children}</a>`],
  ].filter((row) => row && row[1]);
  return html`<section class="facts"><h2>Facts</h2><dl>${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

/** All threads of the conversation, each under the one that made it. */
function Tree({ thread }) {
  const [rows, setRows] = useState(null);
  useEffect(() => {
    get(`/v1/threads?root=${encodeURIComponent(thread.root)}&limit=1000&explain=1`).then((page) => setRows(page.threads), (error) => tell(error.message));
  }, [thread.root, thread.version]);
  if (!rows) return null;
  return html`<ul class="tree" aria-label="Threads of this conversation">${indented(rows).map(({ row, depth }) => html`<li key=${row.id} style=${{ paddingInlineStart: `${Math.min(depth, 12) * 1.25}rem` }}>
    <a class=${`row ${stateOf(row)}`} href=${address(row.id)} aria-current=${row.id === thread.id ? "true" : undefined}><${State} state=${stateOf(row)} /><span class="title">${titleOf(row) || row.id}</span><span class="why">${isFork(row) ? `fork · ${whyOf(row)}` : whyOf(row)}</span><span class="age"><${Since} at=${row.updated_at} /></span></a></li>`)}</ul>`;
}

/** Parents before their children, by creation, each with its depth. */
export function indented(rows) {
  const ids = new Set(rows.map((row) => row.id));
  const children = new Map();
  for (const row of [...rows].sort((one, other) => one.created_at - other.created_at)) {
    const parent = ids.has(row.parent) ? row.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), row]);
  }
  const out = [];
  const stack = (children.get(null) ?? []).map((row) => ({ row, depth: 0 })).reverse();
  while (stack.length) {
    const found = stack.pop();
    out.push(found);
    for (const row of [...(children.get(found.row.id) ?? [])].reverse()) stack.push({ row, depth: found.depth + 1 });
  }
  return out;
}
