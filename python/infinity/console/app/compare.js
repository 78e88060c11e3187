// Two threads side by side from their fork on: turn beside turn, and where they differ in words, calls, time and cost.
import { html, useEffect, useState } from "./lib.js";
import { get, path } from "./api.js";
import { fold, textOf } from "./history.js";
import { Markdown } from "./markdown.js";
import { route, thread as address } from "./router.js";
import { dollars, line, Long, Shown, span, tokens } from "./text.js";
import { titleOf } from "./words.js";

const PAGE = 200;
/** Turns of each that are compared. */
const MOST = 100;

export default function Compare() {
  const { id = "", other = "" } = route.value;
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState("");
  useEffect(() => {
    setFound(null);
    compared(id, other).then((sides) => (setFound(sides), setFailed("")), (error) => setFailed(error.message));
  }, [id, other]);
  if (failed) return html`<div class="lone"><h1>Compare</h1><p role="alert">${failed}</p></div>`;
  if (!found) return null;
  const [one, two] = found.sides;
  const count = Math.max(one.rounds.length, two.rounds.length);
  const rows = Array.from({ length: Math.min(count, MOST) }, (_, index) => [one.rounds[index], two.rounds[index]]);
  return html`<div class="page compare"><header class="head"><h1>Compare</h1></header>
    <p class="muted">${found.at === null ? "Neither is a fork of the other: they are compared from their beginnings." : `From their fork at entry ${found.at} on.`}</p>
    <div class="pair sums">${found.sides.map((side) => html`<${Side} key=${side.thread.id} side=${side} />`)}</div>
    ${rows.map((pair, index) => html`<section class=${`pair ${same(pair) ? "same" : "differs"}`} key=${index} aria-label=${`Turn ${index + 1}`}>${pair.map((round, at) => html`<${Round} key=${at} round=${round} other=${pair[1 - at]} />`)}</section>`)}
    ${count > MOST && html`<p class="muted">the first ${MOST} turns</p>`}</div>`;
}

/** Both threads with their turns from the fork on; `at` is null where neither is a fork of the other. */
async function compared(id, other) {
  const threads = await Promise.all([id, other].map((each) => get(path("threads", each))));
  const histories = await Promise.all(threads.map((thread) => entriesOf(thread.id)));
  const at = border(threads, histories);
  return { at, sides: threads.map((thread, index) => ({ thread, rounds: rounds(histories[index].filter((entry) => at === null || entry.position >= at)) })) };
}

async function entriesOf(id) {
  const found = [];
  for (let after = -1; after !== null && found.length < 10 * PAGE; ) {
    const page = await get(`${path("threads", id, "entries")}?after=${after}&limit=${PAGE}&bodies=cut`);
    found.push(...page.entries);
    after = page.next;
  }
  return found;
}

/** The position at which one of two threads was forked from the other, or both from a third. */
export function border([one, two], [first, second]) {
  const start = (entries) => entries[0]?.position ?? null;
  if (two.parent === one.id) return start(second);
  if (one.parent === two.id) return start(first);
  if (one.parent && one.parent === two.parent) return Math.min(start(first) ?? 0, start(second) ?? 0);
  return null;
}

/** A thread's turns, each with what was said before it. */
export function rounds(entries) {
  const found = [];
  let said = [];
  for (const item of fold(entries)) {
    if (item.kind === "said") said.push(textOf(item.content));
    if (item.kind !== "turn") continue;
    found.push({
      position: item.position,
      said,
      words: textOf(item.blocks.filter((block) => block.type === "text")),
      calls: item.blocks.filter((block) => block.type === "call").map((call) => ({ name: call.name, input: JSON.stringify(call.input) })),
      meta: item.meta,
    });
    said = [];
  }
  return found;
}

/** Whether two turns say and call the same. */
function same([one, two]) {
  return Boolean(one && two) && one.words === two.words && JSON.stringify([one.said, one.calls]) === JSON.stringify([two.said, two.calls]);
}

function Side({ side: { thread, rounds } }) {
  const sum = (of) => rounds.reduce((total, round) => total + (of(round.meta) ?? 0), 0);
  const used = sum(({ usage }) => usage && usage.input + usage.cache_read + usage.cache_write + usage.output);
  return html`<div><h2><a href=${address(thread.id)}><${Shown} text=${titleOf(thread) || thread.id} /></a></h2>
    <p class="muted">${[line(thread.model ?? "", 60), `${rounds.length} turn${rounds.length === 1 ? "" : "s"}`, span(sum(({ ms }) => ms)), tokens(used), dollars(sum(({ cost }) => cost))].filter(Boolean).join(" · ")}</p></div>`;
}

function Round({ round, other }) {
  if (!round) return html`<div class="muted">no such turn</div>`;
  const { said, words, calls, meta } = round;
  const figures = [line(meta.model ?? "", 40), meta.ms !== undefined && span(meta.ms), dollars(meta.cost)].filter(Boolean).join(" · ");
  const alike = (of) => other && JSON.stringify(of(round)) === JSON.stringify(of(other));
  return html`<div><p class="muted">${figures}</p>
    ${said.map((text, index) => html`<blockquote key=${index} class=${alike((each) => each.said) ? "" : "changed"}><${Long} text=${text} as="div" most=${2000} /></blockquote>`)}
    <div class=${alike((each) => each.words) ? "words" : "words changed"}><${Markdown} text=${words} /></div>
    ${calls.map((call, index) => html`<p key=${index} class=${alike((each) => each.calls[index]) ? "call" : "call changed"}><strong><${Shown} text=${call.name} exact /></strong> ${line(call.input, 300)}</p>`)}</div>`;
}
