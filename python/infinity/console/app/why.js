// Why a thread waits: each reason with since and until, and what can be done about it as a button.
import { html } from "./lib.js";
import { path, post, remove } from "./api.js";
import { Card } from "./card.js";
import { decided, keyOf, open } from "./prompts.js";
import { thread as address } from "./router.js";
import { moment, Shown } from "./text.js";
import { act, Since } from "./ui.js";
import { REASONS, STATES } from "./words.js";

export function Why({ thread }) {
  const reasons = thread.explanation?.reasons ?? [];
  const asked = thread.prompts ?? [];
  const richer = new Map((open.value ?? []).map((prompt) => [keyOf(prompt), prompt]));
  const outcomes = decided.value;
  const gone = Object.values(outcomes).filter(({ prompt }) => prompt.thread === thread.id && !asked.some((each) => keyOf(each) === keyOf(prompt)));
  // A call about which somebody is asked is in that question already.
  const about = new Set(asked.flatMap((prompt) => [prompt.id, prompt.call_id]));
  const others = reasons.filter((reason) => !["prompt", "call"].includes(reason.kind) || !about.has(reason.id));
  return html`<section class="why" aria-labelledby="why"><h2 id="why">${reasons.length ? "Why it waits" : thread.status === "closed" ? "It has ended" : "It waits for you"}</h2>
    ${thread.out_of_service && html`<p class="refused"><${Shown} text=${thread.out_of_service} /></p>`}
    ${asked.map((prompt) => html`<${Card} key=${keyOf(prompt)} prompt=${{ ...prompt, ...richer.get(keyOf(prompt)) }} decided=${outcomes[keyOf(prompt)]} here=${prompt.thread === thread.id} />`)}
    ${gone.map(({ prompt, ...outcome }) => html`<${Card} key=${keyOf(prompt)} prompt=${prompt} decided=${outcome} here />`)}
    <ul>${others.map((reason) => html`<li key=${reason.kind + reason.id + reason.thread}><${Reason} reason=${reason} thread=${thread} /></li>`)}</ul>
    ${!reasons.length && html`<p class="muted">${meaning(thread)}</p>`}</section>`;
}

function meaning(thread) {
  const { state } = thread.explanation ?? {};
  if (state === "closed") return "It has ended for good; what was said stays readable.";
  if (state === "stopped") return "It was stopped: messages and results are kept, and nothing is done with them until it is resumed or spoken to.";
  return "Nothing runs and nothing is charged meanwhile.";
}

function Reason({ reason, thread }) {
  const state = REASONS[reason.kind] ?? "waits";
  return html`<div class=${`reason ${state}`}><span class="shape" aria-hidden="true">${STATES[state].shape}</span>
    <div><p><${Shown} text=${reason.text} exact=${reason.kind === "problem"} />${reason.since ? html`, since <${Since} at=${reason.since} />` : ""}${reason.until ? html`, ${UNTIL[reason.kind] ?? "until"} ${moment(reason.until)}` : ""}${reason.attempts > 1 ? `, attempt ${reason.attempts}` : ""}</p>
      <div class="answers">${actions(reason, thread)}</div></div></div>`;
}

/** What happens at the time of a reason. */
const UNTIL = { timer: "at the latest", pace: "at", call: "given up at" };

/** What can be done about a reason, as buttons. */
function actions(reason, thread) {
  const of = (action) => path("threads", thread.id, action);
  const button = (words, doing, done) => html`<button onClick=${() => act(doing, done)}>${words}</button>`;
  switch (reason.kind) {
    case "problem": {
      if (thread.explanation.state === "running") return null;
      const budget = reason.text.startsWith("budget");
      return button(budget ? "Allow as much again" : reason.text.startsWith("gap") ? "Take note of it" : "Try again", () => post(of("resume")), "It is tried again now.");
    }
    case "held_back":
      return button("Try again", () => post(of("resume")), "It is tried again now.");
    case "timer":
      return button("Try again now", () => post(of("resume")), "It is tried again now.");
    case "running":
    case "pace":
      return button("End this answer", () => post(of("interrupt"), { calls: false }), "The answer is ended; open calls go on.");
    case "call":
      return button("Cancel", () => post(path("threads", thread.id, "calls", reason.id, "cancel")), "The call is cancelled.");
    case "sleep":
      return html`<button onClick=${() => document.getElementById("say")?.focus()}>Wake it: say something</button>`;
    case "subscription":
      return button("End the subscription", () => remove(`${path("threads", thread.id, "subscriptions", reason.id)}`), "The subscription is ended.");
    case "child":
      return html`<a class="button" href=${address(reason.thread)}>Open the child</a>`;
    case "prompt":
      return html`<a class="button" href="/inbox">Answer in the inbox</a>`;
    default:
      return null;
  }
}
