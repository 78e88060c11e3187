// One open question: who asks, in which conversation, what will happen, and the answers as buttons.
import { html, useRef, useState } from "./lib.js";
import { Arguments, editable, source } from "./json.js";
import { followed } from "./markdown.js";
import { answer } from "./prompts.js";
import { thread as address } from "./router.js";
import { exactly, gist, line, Long, moment, Shown } from "./text.js";
import { act, Since, tell } from "./ui.js";

const LONG = 4000;

/** The arguments of a call about which somebody decides; `undefined` where only words are known. */
export function argumentsOf(prompt) {
  if (prompt.arguments !== undefined && prompt.arguments !== null) return prompt.arguments;
  const begin = `Allow ${prompt.tool} with `;
  if (prompt.kind !== "consent" || !prompt.prompt?.startsWith(begin)) return undefined;
  try {
    return JSON.parse(prompt.prompt.slice(begin.length, -1));
  } catch {
    return undefined;
  }
}

/** How many characters of the arguments are cut in the card. */
export function hidden(value) {
  const long = (text) => Math.max(0, text.length - LONG);
  if (value === undefined || value === null) return 0;
  if (typeof value !== "object" || Array.isArray(value)) return long(source(value));
  return Object.values(value).reduce((sum, each) => sum + long(typeof each === "string" ? each : source(each)), 0);
}

/** @param {{prompt: any, decided?: {text: string, at: number}, here?: boolean}} wanted `here`: on the page of its thread */
export function Card({ prompt, decided, here = false }) {
  const [armed, setArmed] = useState(false);
  const [busy, setBusy] = useState(false);
  const [reason, setReason] = useState("");
  // The arguments as a person writes them; `null` while they are the model's.
  const [written, setWritten] = useState(null);
  const card = useRef(null);
  const given = argumentsOf(prompt);
  const cut = hidden(given);
  const { annotations } = prompt;
  // Where nothing is known of a tool that is asked about, it is taken for one that destroys.
  const destructive = prompt.kind === "consent" && (!annotations || annotations.destructive === true);
  const choices = prompt.choices ?? [];
  const choose = async (selected, sure = false) => {
    if (busy || decided) return;
    if (destructive && selected === 0 && !sure && !armed) return void setArmed(true);
    const why = selected === 1 && reason.trim() ? { reason: reason.trim() } : {};
    if (selected === 0 && written !== null) {
      const changed = parsed(written);
      if (!changed) return void tell("The arguments are not a JSON object.");
      if (source(changed) !== source(given)) why.arguments = changed;
    }
    setBusy(true);
    const said = await act(() => answer(prompt, selected, why));
    if (said) tell(selected === null ? "Dismissed." : `Answered: ${choices[selected]}`);
    setBusy(false);
    setArmed(false);
  };
  const key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "TEXTAREA"].includes(event.target.tagName) || decided) return;
    const number = Number(event.key) - 1;
    if (event.key === "A" && event.shiftKey && prompt.kind === "consent") choose(0, true);
    else if (event.key === "d" && prompt.kind === "consent") choose(1);
    else if (prompt.kind === "choice" && number >= 0 && number < choices.length) choose(number);
    else if (event.key === "Escape" && armed) setArmed(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
    return html`<article class=${`card ${prompt.kind}${decided ? " over" : ""}`} ref=${card} tabindex="0" data-card onKeyDown=${key} aria-label=${`${kindWords(prompt, destructive)} ${prompt.tool ?? ""}`}>
    <header><span class="asker"><span class="shape" aria-hidden="true">${{ consent: "▲", choice: "?", oauth: "⚷" }[prompt.kind] ?? "◆"}</span> <strong><${Shown} text=${prompt.tool ?? "a tool"} exact /></strong>
      ${prompt.toolset && html` · server <${Shown} text=${prompt.toolset} exact />`} · ${kindWords(prompt, destructive)}</span>
      <span class="muted">${prompt.asked_at ? html`asked <${Since} at=${prompt.asked_at} /> ago` : ""}${prompt.until ? html`, until <time title=${exactly(prompt.until)}>${moment(prompt.until)}</time>` : ""}</span></header>
    ${!here && html`<p class="where">${prompt.root && prompt.root !== prompt.thread ? html`<a href=${address(prompt.root)}>${line(prompt.root_title, 80) || prompt.root}</a> › ` : ""}<a href=${address(prompt.thread)}>${line(prompt.title, 120) || prompt.thread}</a>
      ${prompt.said && html` <span class="muted">${prompt.said.who === "person" ? "you said" : "the agent said"}: “${gist(prompt.said.text, 160)}”</span>`}</p>`}
    ${written !== null && !decided ? html`<textarea class="arguments-edited" rows="8" aria-label="Arguments, as JSON" value=${written} onInput=${(event) => setWritten(event.target.value)} spellcheck=${false}></textarea>
      <p class="muted">The agent is told that you changed them. What it said stays in the conversation as it said it.</p>`
      : prompt.kind === "consent" && given !== undefined ? html`<${Arguments} value=${given} />` : prompt.prompt && html`<div class="question"><${Long} text=${prompt.prompt} as="p" exact most=${LONG} /></div>`}
    ${!decided && prompt.kind === "consent" && html`<p class="muted">Allowed, the call goes to ${prompt.toolset ? html`<${Shown} text=${prompt.toolset} exact />` : "its tool"}, and its result wakes the thread. Denied, the agent is told so, with your reason.</p>`}
    ${decided ? html`<p class="outcome" role="status">${decided.text}, <${Since} at=${decided.at} /></p>`
      : html`<div class="answers">${prompt.kind === "oauth" ? html`<${SignInLink} url=${prompt.auth_url} />` : ""}
        ${prompt.kind === "consent" ? html`<button class="main" disabled=${busy} onClick=${(event) => choose(0, event.shiftKey)} title="Shift+A">${armed ? "Press again to allow" : line(choices[0])}${cut > 0 && written === null ? ` (${cut.toLocaleString("en")} characters not shown)` : ""}</button>
          <button disabled=${busy} onClick=${() => choose(1)} title="d">${line(choices[1] ?? "Deny")}</button>
          ${prompt.editable && prompt.arguments !== undefined && html`<button class="quiet" disabled=${busy} onClick=${() => setWritten(written === null ? editable(given) : null)}>${written === null ? "Edit" : "As it was"}</button>`}
          ${prompt.arguments !== undefined && html`<input value=${reason} onInput=${(event) => setReason(event.target.value)} maxlength="2000" placeholder="reason for the agent (optional)" aria-label="Reason for the agent" />`}`
        : choices.map((choice, index) => html`<button key=${index} disabled=${busy} onClick=${() => choose(index)}><kbd aria-hidden="true">${index + 1}</kbd><span><${Shown} text=${choice} exact />${index === prompt.default && html` <span class="muted">(default)</span>`}</span></button>`)}
        ${prompt.kind !== "consent" && html`<button class="quiet" disabled=${busy} onClick=${() => choose(null)} title=${prompt.kind === "choice" && prompt.default !== undefined ? `stands for: ${choices[prompt.default]}` : undefined}>Dismiss</button>`}</div>`}
  </article>`;
}

function parsed(text) {
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

function kindWords(prompt, destructive) {
  if (prompt.kind === "consent") return destructive ? "destructive · allow it?" : "allow it?";
  return { choice: "asks you", oauth: "wants you to sign in" }[prompt.kind] ?? "asks you";
}

function SignInLink({ url }) {
  const target = url && followed(url);
  if (!target || target.protocol !== "https:") return html`<p class="muted">Its address: <${Shown} text=${url ?? "none"} exact /></p>`;
  return html`<a class="button main" href=${target.href} target="_blank" rel="noopener noreferrer">Open ${target.host}</a>
    <button onClick=${() => act(() => navigator.clipboard.writeText(target.href), "The address is copied.")}>Copy the address</button>`;
}
