// What is on record, entry by entry: for a turn, what the model was shown and what it answered.
import { html, useState } from "./lib.js";
import { get, path } from "./api.js";
import { source } from "./json.js";
import { count, dollars, line, Long, moment, Shown, span, tokens } from "./text.js";
import { act } from "./ui.js";

const ENTRIES = 200;
/** Members of a value that are drawn at once. */
const MEMBERS = 100;

export default function Raw({ model }) {
  const all = model.entries.value;
  const entries = all.slice(-ENTRIES);
  return html`<div class="raw">${all.length > ENTRIES && html`<p class="muted">the last ${ENTRIES} entries</p>`}${entries.map((entry) => html`<${Entry} key=${entry.position} id=${model.id} entry=${entry} />`)}</div>`;
}

function Entry({ id, entry }) {
  const [open, setOpen] = useState(false);
  const turn = entry.kind === "turn";
  return html`<details class="tool" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary><span class="name"><strong>${entry.position}</strong> ${entry.kind}</span><span class="gist">${turn ? figures(entry.meta ?? {}) : line(Object.keys(entry.meta ?? {}).join(", "), 100)}</span><time>${moment(entry.at)}</time></summary>
    ${open && html`<div class="inside">${turn && html`<${Request} id=${id} position=${entry.position} />`}<${Answer} entry=${entry} name=${turn ? "Response" : ""} /></div>`}</details>`;
}

/** What a turn says of its completion, on one line. */
function figures({ model, ms, cost, usage, stop_reason, attempts }) {
  const used = usage && `${tokens(usage.input + usage.cache_read + usage.cache_write)} in, ${tokens(usage.output)} out`;
  return [line(model ?? "", 40), ms !== undefined && span(ms), used, dollars(cost), attempts && `${attempts} attempts`, line(stop_reason ?? "", 40)].filter(Boolean).join(" · ");
}

function Answer({ entry, name }) {
  const text = source(entry);
  const shown = html`<button class="quiet" onClick=${() => copy(text)}>Copy</button><${Long} text=${text} />`;
  return name ? html`<section aria-label=${name}><h2>${name}</h2>${shown}</section>` : shown;
}

/** What the model was shown for a turn: read when it is opened, because it may be long. */
function Request({ id, position }) {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState("");
  const read = (event) => {
    if (!event.currentTarget.open || found) return;
    setFailure("");
    get(path("threads", id, "entries", String(position), "request")).then(setFound, (error) => setFailure(error.message));
  };
  return html`<details class="tool request" onToggle=${read}><summary><span class="name">Request</span><span class="gist">what the model was shown</span></summary><div>
    ${failure && html`<p class="refused" role="alert">${failure}</p>`}
    ${found && html`<p class="muted">${exactness(found)}</p><button class="quiet" onClick=${() => copy(source(found))}>Copy</button>
      ${Object.entries(found).filter(([name]) => name !== "exact").map(([name, value]) => html`<${Fold} key=${name} name=${name} value=${value} />`)}`}</div></details>`;
}

function exactness({ exact, system, parameters }) {
  if (exact) return "Exactly what was sent, before the provider put it into the form of its API.";
  if (!parameters) return "Rendered anew: the version that asked for this turn recorded nothing else.";
  return system === null ? "The system prompt and the tools are not on record here." : "Rendered anew: this version renders the history differently.";
}

/** A value that is opened member by member: what is closed costs nothing. */
export function Fold({ name, value }) {
  const [open, setOpen] = useState(false);
  const [most, setMost] = useState(MEMBERS);
  if (value === null || typeof value !== "object") {
    return html`<div class="leaf"><span class="muted"><${Shown} text=${name} exact /></span> <${Long} text=${value} most=${4000} /></div>`;
  }
  const names = Object.keys(value);
  return html`<details class="tool fold" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary><span class="name"><${Shown} text=${name} exact /></span><span class="gist">${gist(value, names)}</span></summary>
    ${open && html`<div>${names.slice(0, most).map((each) => html`<${Fold} key=${each} name=${each} value=${value[each]} />`)}
      ${names.length > most && html`<button class="quiet" onClick=${() => setMost(most + MEMBERS)}>Show ${count(Math.min(MEMBERS, names.length - most))} of ${count(names.length - most)} more</button>`}</div>`}</details>`;
}

/** What is in a value, on one line. */
function gist(value, names) {
  if (Array.isArray(value)) return value.length === 1 ? "1 item" : `${count(value.length)} items`;
  const texts = names.slice(0, 8).filter((name) => typeof value[name] === "string").map((name) => line(value[name], 60));
  const blocks = Array.isArray(value.content) ? value.content.slice(0, 4).map((block) => line(block?.text ?? block?.name ?? block?.type ?? "", 60)) : [];
  return line([...texts, ...blocks].filter(Boolean).join(" · ") || `${count(names.length)} members`, 120);
}

function copy(text) {
  act(() => navigator.clipboard.writeText(text), "Copied.");
}
