// Texts of strangers, made fit to be read: what cannot be seen in them is spelled out, and what is long is counted.
import { html, useState } from "./lib.js";

// In prose, line breaks, tabs, joiners and the selectors of emoji stay as they are: scripts need them. In what somebody decides by, nothing unseen stays.
const PROSE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]/gu;
const EXACT = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{DI}]|(?! )\p{Zs}/gu;
const KEPT = /[\n\t\u200c\u200d\ufe0e\ufe0f]/;
const SEEN = /^[\x20-\x7e\n\t]*$/;

/** The name of a character that cannot be seen: ⟨U+202E⟩. */
export function named(character) {
  return `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/**
 * Pieces of a text in turn: seen, unseen, seen, … Pieces with odd numbers are names of characters.
 * @param {string} text @param {boolean} exact whether somebody decides by it
 */
export function pieces(text, exact = false) {
  if (SEEN.test(text) && !(exact && /[\n\t]/.test(text))) return [text];
  const found = [];
  let from = 0;
  for (const match of text.matchAll(exact ? EXACT : PROSE)) {
    if (exact ? match[0] === "\n" : KEPT.test(match[0])) continue;
    found.push(text.slice(from, match.index), named(match[0]));
    from = match.index + match[0].length;
  }
  found.push(text.slice(from));
  return found;
}

/** As one string, for titles and attributes. */
export function plain(text, exact = false) {
  return pieces(String(text ?? ""), exact).join("");
}

/** One line: line breaks and tabs are spaces. */
export function line(text, most = 300) {
  const whole = plain(String(text ?? "").slice(0, most * 2).replace(/\s+/g, " ").trim());
  return whole.length > most ? `${whole.slice(0, most)}…` : whole;
}

/** One line of Markdown without its marks, for where only its words are shown. */
export function gist(text, most = 300) {
  const words = String(text ?? "").slice(0, most * 2).replace(/^(#{1,6}|[-*>]) /gm, "").replace(/(\*\*|__|\*|`)(\S(?:[^*_`]*\S)?)\1/g, "$2");
  return line(words, most);
}

/** A text with the names of what cannot be seen set apart. */
export function Shown({ text, exact = false }) {
  const parts = pieces(String(text ?? ""), exact);
  if (parts.length === 1) return parts[0];
  return parts.map((part, index) => (index % 2 ? html`<span class="unseen" title="a character that cannot be seen">${part}</span>` : part));
}

/** The beginning of a long text, and a button that says how much more there is. */
export function Long({ text, most = 16000, exact = false, as = "pre" }) {
  const [whole, setWhole] = useState(false);
  const full = String(text ?? "");
  const cut = !whole && full.length > most;
  return html`<div class="long"><${as} class="text"><${Shown} text=${cut ? full.slice(0, most) : full} exact=${exact} /></${as}>
    ${cut && html`<button class="quiet" onClick=${() => setWhole(true)}>Show ${count(full.length - most)} more characters</button>`}</div>`;
}

/** A number with separators of thousands. */
export function count(number) {
  return Number(number).toLocaleString("en");
}

/** `$0.012`; nothing for nothing. */
export function dollars(amount) {
  if (!amount) return "";
  return amount >= 1 ? `$${amount.toFixed(2)}` : amount >= 0.0005 ? `$${amount.toFixed(3)}` : "< $0.001";
}

/** `41 k tokens`. */
export function tokens(amount) {
  if (amount < 1000) return `${amount} tokens`;
  return amount < 1e6 ? `${trimmed(amount / 1000)} k tokens` : `${trimmed(amount / 1e6)} M tokens`;
}

function trimmed(number) {
  return number < 10 ? number.toFixed(1).replace(/\.0$/, "") : Math.round(number);
}

/** A span of time in words: `812 ms`, `1.9 s`, `4 m`, `7 h`, `3 d`. */
export function span(ms) {
  const time = Math.max(0, ms);
  if (time < 1000) return `${Math.round(time)} ms`;
  if (time < 10_000) return `${(time / 1000).toFixed(1)} s`;
  if (time < 60_000) return `${Math.floor(time / 1000)} s`;
  if (time < 3_600_000) return `${Math.floor(time / 60_000)} m`;
  if (time < 86_400_000) return `${Math.floor(time / 3_600_000)} h`;
  return `${Math.floor(time / 86_400_000)} d`;
}

/** How long ago, roughly; below a second it is now. */
export function ago(at, now) {
  return now - at < 1000 ? "now" : span(Math.floor((now - at) / 1000) * 1000).replace(/\.0 s/, " s");
}

/** `14:02` today, else with the day. */
export function moment(at, now = Date.now()) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (new Date(now).toDateString() === date.toDateString()) return time;
  const year = new Date(now).getFullYear() === date.getFullYear() ? undefined : "numeric";
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year })} ${time}`;
}

/** With seconds and zone, for a title. */
export function exactly(at) {
  return new Date(at).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" });
}
