// Where the time went: the model's answers, calls and questions of a thread as bars on one axis, in order; what is open is drawn up to now.
import { html, useMemo, useState } from "./lib.js";
import { session } from "./api.js";
import { facts as factsOf, useCall } from "./calls.js";
import { fold, textOf } from "./history.js";
import { now } from "./live.js";
import { dollars, exactly, gist, line, moment, span, tokens } from "./text.js";
import { BUILT_IN, decisionOf, triesOf } from "./words.js";

const MOST = 300;
/** A stretch of time in which nothing begins or ends is drawn shorter when it is so many times the usual one. */
const LONG = 10;
const LEAST = 30_000;

/**
 * @param {number[]} points times at which something begins or ends
 * @returns {{at: (time: number) => number, cuts: {from: number, to: number, left: number, right: number}[], begin: number, end: number}} `at`: from 0 to 1
 */
export function axis(points) {
  const times = [...new Set(points)].sort((one, other) => one - other);
  const stretches = times.slice(1).map((time, index) => time - times[index]);
  const usual = [...stretches].sort((one, other) => one - other)[Math.floor(stretches.length / 2)] ?? 1;
  const most = Math.max(usual * LONG, LEAST);
  const drawn = stretches.map((stretch) => (stretch > most ? most : stretch));
  const whole = drawn.reduce((sum, each) => sum + each, 0) || 1;
  const places = [0];
  for (const each of drawn) places.push(places[places.length - 1] + each / whole);
  const at = (time) => {
    let low = 0;
    let high = times.length - 1;
    if (!times.length || time <= times[0]) return 0;
    if (time >= times[high]) return 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= time) low = middle;
      else high = middle;
    }
    return places[low] + ((places[high] - places[low]) * (time - times[low])) / (times[high] - times[low]);
  };
  const cuts = stretches.flatMap((stretch, index) => (stretch > most ? [{ from: times[index], to: times[index + 1], left: places[index], right: places[index + 1] }] : []));
  return { at, cuts, begin: times[0] ?? 0, end: times[times.length - 1] ?? 0 };
}

/**
 * The bars of a history.
 * @param {any[]} items as `fold` makes them @param {Map<string, any>} open what is open, by call @param {any[]} prompts open questions @param {number} time now
 * @param {{questions?: Map<string, any>, problems?: any[], me?: string}} [more] questions that are over, problems, and the user of the page
 */
export function bars(items, open, prompts, time, { questions = new Map(), problems = [], me = "" } = {}) {
  const found = [];
  for (const item of items) {
    const { meta } = item;
    if (item.kind === "said") found.push({ key: item.key, lane: "said", name: meta.user_id || "you", words: textOf(item.content), start: item.at, end: item.at });
    if (item.kind === "event" && !item.late) found.push({ key: item.key, lane: "event", name: item.tool, words: textOf(item.content), start: item.at, end: item.at });
    if (item.kind !== "turn") continue;
    const start = meta.asked_at ?? item.at;
    const end = meta.ms === undefined ? start : start + meta.ms;
    found.push({ key: item.key, lane: "model", name: meta.model || "model", words: textOf(item.blocks.filter((block) => block.type === "text")), start, end, first: meta.first_ms ? start + meta.first_ms : undefined, tries: triesOf(meta), known: meta.ms !== undefined, meta });
    for (const call of item.blocks.filter((block) => block.type === "call")) {
      const still = open.get(call.id);
      const ended = call.later?.at ?? (call.result?.pending ? undefined : call.result?.at);
      const state = still ? "open" : call.result?.failed ? "failed" : "done";
      found.push({ key: call.id, lane: "call", name: BUILT_IN[call.name] ?? call.name, words: call.line ?? "", start: end, end: Math.max(end, ended ?? (still ? time : end)), until: still?.until, state, known: ended !== undefined || Boolean(still), call });
    }
  }
  for (const prompt of prompts) if (prompt.asked_at) found.push({ key: prompt.id, lane: "question", name: `${prompt.tool ?? "a tool"} asks you`, words: prompt.prompt ?? "", start: prompt.asked_at, end: time, state: "open", known: true });
  const begin = items[0]?.at ?? 0;
  for (const each of questions.values())
    if (each.closed && (each.closed.at ?? 0) >= begin)
      found.push({ key: `closed.${each.id}.${each.closed.at}`, lane: "question", name: `${each.tool ?? "a tool"} asked: ${decisionOf(each, me)}`, words: each.words ?? "", start: each.asked ?? each.closed.at, end: each.closed.at, state: "done", known: true });
  for (const [index, each] of problems.entries()) if (each.at >= begin) found.push({ key: `problem.${index}`, lane: "problem", name: each.code || "problem", words: each.text, start: each.at, end: each.at, state: "failed", known: true });
  // Where a question or a problem belongs in time; everything else keeps its order.
  return found.map((bar, index) => ({ bar, index })).sort((one, other) => one.bar.start - other.bar.start || one.index - other.index).map(({ bar }) => bar);
}

export default function Timeline({ model }) {
  const [chosen, setChosen] = useState(null);
  const entries = model.entries.value;
  const items = useMemo(() => fold(entries, model.lines), [entries]);
  const thread = model.thread.value;
  const all = bars(items, model.open.value, thread?.prompts ?? [], now.value, { questions: model.questions.value, problems: model.problems.value, me: session.peek()?.user });
  const shown = all.slice(-MOST);
  const scale = axis(shown.flatMap((bar) => [bar.start, bar.end]));
  if (!shown.length) return html`<div class="empty"><p>Nothing has happened yet.</p></div>`;
  return html`<div class="timeline">
    ${(model.more.value || all.length > MOST) && html`<p class="end"><button class="quiet" onClick=${() => model.earlier()}>Read earlier</button></p>`}
    <div class="scale" aria-hidden="true"><span>${clock(scale.begin)}</span>${scale.cuts.map((cut) => html`<span class="cut" key=${cut.from} style=${{ left: percent((cut.left + cut.right) / 2) }}>⋯ ${span(cut.to - cut.from)} ⋯</span>`)}<span>${clock(scale.end)}</span></div>
    <ol>${shown.map((bar) => html`<li key=${bar.key}><button class=${`lane ${bar.lane}`} aria-expanded=${chosen === bar.key ? "true" : "false"} onClick=${() => setChosen(chosen === bar.key ? null : bar.key)}>
      <span class="label">${line(bar.name, 60)} ${bar.tries && html`<span class="tries">${bar.tries}</span> `}<span class="muted">${gist(bar.words, 60)}</span></span>
      <span class="track">${scale.cuts.map((cut) => html`<span class="gap" key=${cut.from} style=${place(cut.left, cut.right)}></span>`)}<span class=${`bar-span ${bar.state ?? ""} ${bar.known === false ? "unknown" : ""} ${bar.start === bar.end ? "point" : ""}`} style=${place(scale.at(bar.start), scale.at(bar.end))}></span>${bar.first > bar.start && html`<span class="before-first" style=${place(scale.at(bar.start), scale.at(Math.min(bar.first, bar.end)))}></span>`}</span>
      <span class="took">${bar.known === false ? "" : bar.start === bar.end ? moment(bar.start) : span(bar.end - bar.start)}</span></button>
      ${chosen === bar.key && html`<${Told} bar=${bar} thread=${model.id} />`}</li>`)}</ol>
    ${shown.some((bar) => bar.known === false) && html`<p class="muted">Hatched: its time was not recorded.</p>`}</div>`;
}

function place(left, right) {
  return { left: percent(left), width: percent(Math.max(0, right - left)) };
}

function percent(share) {
  return `${(share * 100).toFixed(3)}%`;
}

function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

function Told({ bar, thread }) {
  const { meta } = bar;
  const call = useCall(thread, bar.call?.id, bar.state);
  const facts = [
    ["Began", exactly(bar.start)],
    bar.known !== false && bar.end !== bar.start && [bar.state === "open" ? "So far" : "Took", span(bar.end - bar.start)],
    bar.first && ["First part after", span(bar.first - bar.start)],
    bar.until && ["Until", exactly(bar.until)],
    ...factsOf(call),
    meta?.attempts > 1 && ["Attempts", meta.attempts],
    meta?.errors?.length && ["Failed before", meta.errors.join(", ")],
    meta?.usage && ["Tokens", `${tokens(meta.usage.input + (meta.usage.cache_read ?? 0) + (meta.usage.cache_write ?? 0))} in, ${tokens(meta.usage.output)} out`],
    meta?.cost && ["Cost", dollars(meta.cost)],
    meta?.request_id && ["Request", meta.request_id],
    bar.words && ["Text", line(bar.words, 400)],
  ].filter(Boolean);
  return html`<dl class="bar-facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
