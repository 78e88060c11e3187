// JSON values as a table or as text: what is in them is shown exactly, and depth costs nothing.
import { html } from "./lib.js";
import { Long, Shown } from "./text.js";

const DEEPEST = 200;

/** A value as indented JSON. One that is nested beyond reason is shortened, in words. */
export function source(value) {
  try {
    return JSON.stringify(value, null, 2) ?? "";
  } catch {
    return "(nested too deeply to be shown)";
  }
}

/** A value as JSON to be changed by a person: what cannot be seen stands there as its number, which means the same. */
export function editable(value) {
  const number = (character) => [...Array(character.length).keys()].map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join("");
  return source(value).replace(/(?![ \n])[\p{C}\p{Z}]/gu, number);
}

/** Whether anything in a value is nested deeper than can be shown. */
export function deep(value) {
  let level = [value];
  for (let depth = 0; depth < DEEPEST; depth += 1) {
    level = level.flatMap((each) => (each && typeof each === "object" ? Object.values(each).slice(0, 1000) : [])).slice(0, 5000);
    if (!level.length) return false;
  }
  return true;
}

/** The arguments of a call, as somebody decides by them: one row a name, strings quoted, nothing unseen. */
export function Arguments({ value, exact = true }) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return html`<${Long} text=${deep(value) ? "(nested too deeply to be shown)" : source(value)} exact=${exact} />`;
  const names = Object.keys(value);
  if (!names.length) return html`<p class="muted">no arguments</p>`;
  return html`<dl class="arguments">${names.map((name) => html`<div key=${name}><dt><${Shown} text=${name} exact=${exact} /></dt><dd><${Value} value=${value[name]} exact=${exact} /></dd></div>`)}</dl>`;
}

function Value({ value, exact }) {
  if (typeof value === "string") {
    const host = punycode(value);
    return html`<${Long} text=${`"${value}"`} exact=${exact} most=${4000} />${host && html`<p class="muted">its host is <${Shown} text=${host} exact /></p>`}`;
  }
  return html`<${Long} text=${deep(value) ? "(nested too deeply to be shown)" : source(value)} exact=${exact} most=${4000} />`;
}

/** The host of an address where it is not what it looks like; empty otherwise. */
export function punycode(text) {
  if (text.length > 2000 || !/^https?:\/\//i.test(text)) return "";
  try {
    const host = new URL(text).host;
    return text.toLowerCase().startsWith(`${text.slice(0, text.indexOf("//")).toLowerCase()}//${host}`) ? "" : host;
  } catch {
    return "";
  }
}
