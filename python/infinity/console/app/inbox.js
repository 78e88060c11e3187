// Every open question of every thread, oldest first.
import { html, signal, useEffect } from "./lib.js";
import { Card } from "./card.js";
import { bind } from "./keys.js";
import * as prompts from "./prompts.js";

const MOST = 50;
const kind = signal("all");
const order = signal([]);

export default function Inbox() {
  useEffect(() => {
    order.value = [];
    prompts.read();
    return bind({ j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1) });
  }, []);
  const open = prompts.open.value;
  const list = placed(open ?? [], prompts.decided.value);
  const wanted = kind.value === "all" ? list : list.filter(({ prompt }) => prompt.kind === kind.value);
  const kinds = [...new Set(list.map(({ prompt }) => prompt.kind))];
  return html`<div class="page inbox"><header class="head"><h1>Inbox <span class="number" title="open questions">${prompts.total.value}</span></h1><span class="spring"></span>
      ${kinds.length > 1 && html`<label>Kind <select value=${kind.value} onChange=${(event) => (kind.value = event.target.value)}><option value="all">all</option>
        <option value="consent">allow</option><option value="choice">choice</option><option value="oauth">sign-in</option></select></label>`}</header>
    ${prompts.failed.value && html`<p class="refused" role="alert">${prompts.failed.value}</p>`}
    ${wanted.slice(0, MOST).map(({ prompt, outcome }) => html`<${Card} key=${prompts.keyOf(prompt)} prompt=${prompt} decided=${outcome} />`)}
    ${wanted.length > MOST && html`<p class="muted">${wanted.length - MOST} more follow when these are answered.</p>`}
    ${open !== null && !wanted.length && html`<div class="empty"><p>Nobody asks you anything. Questions of agents and tools appear here.</p></div>`}</div>`;
}

/** Cards keep their places while the page is open: those that are decided stay, greyed. */
function placed(open, decided) {
  const found = new Map(open.map((prompt) => [prompts.keyOf(prompt), { prompt }]));
  for (const [key, outcome] of Object.entries(decided)) if (!found.has(key)) found.set(key, { prompt: outcome.prompt, outcome });
  return [...found.values()].sort((one, other) => (one.prompt.asked_at ?? 0) - (other.prompt.asked_at ?? 0));
}

function step(by) {
  const cards = [...document.querySelectorAll("[data-card]")];
  const at = cards.indexOf(document.activeElement?.closest("[data-card]"));
  cards[Math.min(cards.length - 1, Math.max(0, at + by))]?.focus();
}
