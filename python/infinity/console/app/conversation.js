// A conversation as it is read: the agent's words large, tools one line each until opened, what was thought folded.
import { Component, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { session } from "./api.js";
import { facts, useCall } from "./calls.js";
import { ForkHere } from "./fork.js";
import { contents, fold, pictureType, settled, textOf } from "./history.js";
import { Arguments, source } from "./json.js";
import { now } from "./live.js";
import { blocks, draw, Markdown } from "./markdown.js";
import { line, dollars, exactly, Long, moment, Shown, span, tokens } from "./text.js";
import { Since } from "./ui.js";
import { BUILT_IN, decisionOf, triesOf } from "./words.js";

const WINDOW = 80;
const STEP = 40;
const LARGEST_PICTURE = 20 << 20;

/**
 * The conversation of a thread: at most `WINDOW` and two `STEP`s of its items are in the page.
 * @param {{model: import("./thread_model.js").Model}} props
 */
export function Conversation({ model }) {
  const entries = model.entries.value;
  const items = useMemo(() => fold(entries, model.lines), [entries, model.lines.size]);
  const [end, setEnd] = useState(null);
  const [start, setStart] = useState(null);
  const box = useRef(null);
  const follow = useRef(true);
  const anchor = useRef(null);
  const [missed, setMissed] = useState(0);
  const last = end ?? items.length;
  const first = Math.max(0, start ?? last - WINDOW);
  const shown = items.slice(first, last);
  // The listener is registered once and sees what is on the screen now.
  const view = useRef(null);
  view.current = { first, last, end, length: items.length };

  // What is read keeps its place while more is put before it.
  const hold = () => {
    const element = [...(box.current?.querySelectorAll("[data-item]") ?? [])].find((each) => each.getBoundingClientRect().bottom > 80);
    anchor.current = element && { key: element.dataset.item, top: element.getBoundingClientRect().top };
  };
  useLayoutEffect(() => {
    const held = anchor.current;
    anchor.current = null;
    if (follow.current && end === null) return void scrollTo(0, document.documentElement.scrollHeight);
    const element = held && box.current?.querySelector(`[data-item="${held.key}"]`);
    if (element) scrollBy(0, element.getBoundingClientRect().top - held.top);
  });
  useEffect(() => {
    if (!follow.current && items.length) setMissed((before) => before + 1);
  }, [items.length]);
  useEffect(() => {
    const scrolled = () => {
      const { first, last, end, length } = view.current;
      const { scrollHeight } = document.documentElement;
      const bottom = scrollHeight - innerHeight - scrollY;
      follow.current = bottom < 60 && end === null;
      if (follow.current) setMissed(0);
      if (scrollY < 400) {
        if (first > 0) {
          hold();
          setStart(Math.max(0, first - STEP));
          if (last - first > WINDOW + STEP) setEnd(last - STEP);
        } else if (model.earlier()) hold();
      } else if (bottom < 400 && end !== null) {
        hold();
        const until = Math.min(length, last + STEP);
        setEnd(until >= length ? null : until);
        setStart(Math.max(first, until - WINDOW - STEP));
      }
    };
    addEventListener("scroll", scrolled, { passive: true });
    return () => removeEventListener("scroll", scrolled);
  }, [model]);
  useLayoutEffect(() => {
    // Items that came in front push those in the page on by as many.
    const before = model.prepended;
    model.prepended = 0;
    if (before && start !== null) setStart(start + before);
    if (before && end !== null) setEnd(end + before);
  }, [entries]);
  const down = () => {
    setEnd(null);
    setStart(null);
    setMissed(0);
    follow.current = true;
    view.current = { ...view.current, end: null, first: 0 };
  };
  return html`<div class="conversation" ref=${box}>
    ${model.more.value && first === 0 && html`<p class="muted end">earlier messages are being read</p>`}
    ${shown.map((item) => html`<${Item} key=${item.key} thread=${model.id} item=${item} open=${model.open.value} lines=${model.lines.size} questions=${model.questions.value} />`)}
    ${end === null && html`<${Live} model=${model} />`}
    ${end === null && model.pending.value.map((message) => html`<section class="said pending" key=${message.id}><div class="by"><span>you</span><span class="muted">on its way</span></div><${Long} text=${message.text} as="div" /></section>`)}
    ${(missed > 0 || end !== null) && html`<button class="pill down" onClick=${down}>${missed > 0 ? `${missed} new ↓` : "to the end ↓"}</button>`}</div>`;
}

/** One item; drawn again only when something of it has changed. */
class Item extends Component {
  shouldComponentUpdate({ item, open, lines, questions }) {
    const before = this.props;
    if (item.entry !== before.item.entry || lines !== before.lines) return true;
    return item.kind === "turn" && (open !== before.open || questions !== before.questions || signature(item) !== signature(before.item));
  }

  render({ thread, item, open, questions }) {
    return html`<section class=${item.kind} data-item=${item.key} data-kind=${item.kind} tabindex="-1">${draws(item, open, thread, questions)}</section>`;
  }
}

/** Who has said something: whoever looks at the page is "you". */
function person(user) {
  return !user || user === session.peek()?.user ? "you" : user;
}

function outcomeOf(question) {
  return decisionOf(question, session.peek()?.user);
}

function signature(item) {
  return item.blocks.map((block) => (block.type === "call" ? (block.result ? `${block.result.position}${block.result.pending}${block.later?.position}` : "-") : "")).join();
}

function draws(item, open, thread, questions) {
  switch (item.kind) {
    case "said":
      return html`<${By} who=${person(item.meta.user_id)} item=${item} fork /><${Blocks} blocks=${item.content} />`;
    case "turn":
      return html`<${By} who=${line(item.meta.model || "agent", 60)} item=${item} agent />${item.blocks.map((block, index) => html`<${TurnBlock} key=${index} block=${block} open=${open} thread=${thread} questions=${questions} />`)}`;
    case "event":
      return html`<details class="tool"><summary><span class="name">${item.late ? "the result of " : "event of "}<strong>${line(item.tool, 80)}</strong></span>
        <span class="gist">${line(textOf(item.content), 160)}</span><time title=${exactly(item.at)}>${moment(item.at)}</time></summary><${Blocks} blocks=${results(item.content)} plain /></details>`;
    case "result":
      return html`<details class="tool"><summary><span class="name">a result</span><span class="gist">${line(textOf(item.content), 160)}</span></summary><${Blocks} blocks=${results(item.content)} plain /></details>`;
    case "summary":
      return html`<details class="tool"><summary><span class="name">what came before was summarised for the model</span></summary><${Blocks} blocks=${item.content} /></details>`;
    default:
      return html`<details class="tool"><summary><span class="name muted">told by the runtime</span><span class="gist">${line(textOf(item.content), 160)}</span></summary><${Blocks} blocks=${item.content} plain /></details>`;
  }
}

function results(list) {
  return list.flatMap((block) => (block.type === "tool_result" ? contents(block.content) : [block]));
}

function By({ who, item, agent = false, fork = false }) {
  const { meta } = item;
  const figures = agent ? [meta.ms && span(meta.ms), dollars(meta.cost), triesOf(meta)].filter(Boolean).join(" · ") : "";
  const used = meta.usage ? `${tokens(meta.usage.input + (meta.usage.cache_read ?? 0) + (meta.usage.cache_write ?? 0))} in, ${tokens(meta.usage.output)} out` : "";
  return html`<div class="by"><span><${Shown} text=${who} /></span><time title=${`${exactly(item.at)}${used ? `\n${used}` : ""}`}>${moment(item.at)}</time>${figures && html`<span>${figures}</span>`}${fork && html`<${ForkHere} item=${item} />`}</div>`;
}

function TurnBlock({ block, open, thread, questions }) {
  if (block.type === "text") return html`<div class="words"><${Markdown} text=${block.text} /></div>`;
  if (block.type === "call") return html`<${Call} call=${block} open=${open} thread=${thread} questions=${questions} />`;
  if (block.type === "thinking") return html`<details class="tool thought"><summary><span class="name muted">thought</span><span class="gist">${line(block.thinking, 160)}</span></summary><${Long} text=${block.thinking} as="div" /></details>`;
  if (block.type === "redacted_thinking") return html`<p class="muted">thought, and its provider does not show what</p>`;
  return html`<${Blocks} blocks=${[block]} />`;
}

/** A call: one line until it is opened. */
function Call({ call, open, thread, questions }) {
  const [shown, setShown] = useState(false);
  const waits = open.get(call.id);
  const { result } = call;
  const state = waits ? "open" : result?.failed ? "failed" : result && !result.pending ? "done" : call.later !== undefined ? "done" : result ? "open" : "open";
  const sign = { open: "◌", failed: "✗", done: "✓" }[state];
  const words = { open: "under way", failed: "failed", done: "done" }[state];
  const ended = call.later?.at ?? (result?.pending ? 0 : result?.at);
  const took = ended ? span(ended - call.at) : waits?.since ? span(Math.max(0, Math.floor((now.value - waits.since) / 1000) * 1000)) : "";
  const decisions = [...questions.values()].filter((each) => each.call === call.id && each.closed);
  const toggled = (event) => setShown(event.currentTarget.open);
  return html`<details class=${`tool call ${state}`} onToggle=${toggled}><summary><span class="name">${call.line ? line(call.line, 120) : BUILT_IN[call.name] ?? html`<strong>${line(call.name, 80)}</strong>`}</span>
      <span class="gist">${call.line ? "" : line(source(call.input) === "{}" ? "" : brief(call.input), 160)}</span>${decisions.map((each) => html`<span class="decision" key=${each.id} title=${exactly(each.closed.at)}>${outcomeOf(each)}</span>`)}<span class="outcome"><span aria-hidden="true">${sign}</span> <span class="hidden">${words}</span>${took}</span></summary>
    ${shown && html`<div class="inside"><h3>${line(call.name, 80)}: arguments</h3><${Arguments} value=${call.input} exact=${false} />
      ${result && html`<h3>${result.pending ? "what the model was told meanwhile" : "result"}</h3>${result.display?.length ? html`<${Display} segments=${result.display} />` : ""}<${Blocks} blocks=${result.content} plain />`}
      ${call.later !== undefined && html`<p class="muted">Its result came later, as an event below.</p>`}
      ${decisions.map((each) => html`<p class="muted" key=${each.id}>${each.kind === "consent" ? "" : html`<${Shown} text=${each.words ?? "asked"} exact /> – `}${outcomeOf(each)}, ${moment(each.closed.at)}</p>`)}
      <${Doings} thread=${thread} id=${call.id} state=${state} /><p class="muted id">${call.id}</p></div>`}</details>`;
}

function Doings({ thread, id, state }) {
  const found = facts(useCall(thread, id, state));
  return found.length > 0 && html`<dl class="bar-facts">${found.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function brief(input) {
  try {
    return JSON.stringify(input).slice(0, 400);
  } catch {
    return "…";
  }
}

/** What a tool has for people: text, Markdown, differences and JSON; everything else as its source. */
function Display({ segments }) {
  return segments.map((segment, index) => {
    const { type, content } = segment ?? {};
    if (type === "markdown" && typeof content === "string") return html`<div class="words" key=${index}><${Markdown} text=${content} /></div>`;
    if (type === "text" && typeof content === "string") return html`<${Long} key=${index} text=${content} />`;
    if (type === "diff") return html`<${Diff} key=${index} text=${typeof content === "string" ? content : `${content?.path ?? ""}\n${content?.patch ?? source(content)}`} />`;
    return html`<${Long} key=${index} text=${source(content ?? segment)} />`;
  });
}

function Diff({ text }) {
  return html`<pre class="code" tabindex="0" role="region" aria-label="difference">${text.slice(0, 16000).split("\n").map((each, index) => html`<span key=${index} class=${{ "+": "added", "-": "removed" }[each[0]] ?? ""}><${Shown} text=${`${each}\n`} /></span>`)}</pre>`;
}

/** Content blocks in turn. `plain`: texts as they are, as of tools; else as Markdown. */
export function Blocks({ blocks: list, plain = false }) {
  return contents(list).map((block, index) => {
    if (block.type === "text") return plain ? html`<${Long} key=${index} text=${block.text} />` : html`<div class="words" key=${index}><${Markdown} text=${block.text} /></div>`;
    if (block.type === "image") return html`<${Picture} key=${index} source=${block.source} />`;
    if (block.type === "tool_result") return html`<${Blocks} key=${index} blocks=${block.content} plain />`;
    return html`<${Long} key=${index} text=${source(block)} most=${2000} />`;
  });
}

/** A picture from its own bytes, never from elsewhere. */
function Picture({ source: given }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (given?.type !== "base64" || (given.data?.length ?? 0) > LARGEST_PICTURE) return undefined;
    let made;
    try {
      const bytes = Uint8Array.from(atob(given.data), (each) => each.charCodeAt(0));
      const type = pictureType(bytes);
      if (type) made = URL.createObjectURL(new Blob([bytes], { type }));
    } catch {
      // What cannot be read is said in words.
    }
    if (made) setUrl(made);
    return () => made && URL.revokeObjectURL(made);
  }, [given?.data]);
  return url ? html`<img class="picture" src=${url} alt="a picture of this conversation" />` : html`<p class="muted">(a picture that cannot be shown)</p>`;
}

/** What is being answered: whole blocks as Markdown, the rest as a text that grows. */
function Live({ model }) {
  const { text, thought, calls, started } = model.live.value;
  const [done, tail] = useMemo(() => settled(text), [text]);
  if (!started && !text && !thought) return null;
  return html`<section class="turn live" aria-live="off"><div class="by"><span>${line(model.thread.value?.model || "agent", 60)}</span><span class="muted">${text ? "answers" : thought ? "thinks" : "is asked"} <${Since} at=${started} words="since " /></span></div>
    ${thought && html`<details class="tool thought"><summary><span class="name muted">thinks</span><span class="gist">${line(thought.slice(-300), 200)}</span></summary><${Long} text=${thought} as="div" /></details>`}
    <div class="words"><${Settled} text=${done} /><p class="tail"><${Shown} text=${tail} /></p></div>
    ${calls.map((call) => html`<p class="muted" key=${call.id}>calls ${line(call.tool, 80)} …</p>`)}</section>`;
}

class Settled extends Component {
  shouldComponentUpdate({ text }) {
    return text !== this.props.text;
  }

  render({ text }) {
    return blocks(text).map((block, index) => html`<${Block} key=${index} block=${block} />`);
  }
}

class Block extends Component {
  shouldComponentUpdate({ block }) {
    return block.source !== this.props.block.source;
  }

  render({ block }) {
    return draw(block);
  }
}
