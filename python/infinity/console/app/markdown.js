// Markdown: a text becomes vnodes, and never a string of HTML. No HTML in it, no images from elsewhere, links only to http, https and mailto.
import { html } from "./lib.js";
import { Shown } from "./text.js";

const DEEPEST = 8;
const LONGEST = 200_000;
/** Characters within which a mark is closed, if at all. */
const NEAR = 4000;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** A text as vnodes. Of one that is too long for this, the text itself. */
export function Markdown({ text }) {
  if (text.length > LONGEST) return html`<pre class="text"><${Shown} text=${text} /></pre>`;
  return blocks(text).map(draw);
}

/**
 * The blocks of a text.
 * @returns {{kind: string, text?: string, level?: number, blocks?: object[], items?: object[][], rows?: string[][], from?: number, source: string}[]}
 */
export function blocks(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const begin = at;
    const block = next(lines, at, depth);
    at = block.end;
    if (block.kind) found.push({ ...block, source: lines.slice(begin, at).join("\n") });
  }
  return found;
}

function next(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return { end: at + 1 };
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (heading) return { kind: "heading", level: heading[1].length, text: heading[2], end: at + 1 };
  if (/^ {0,3}([-*_])[ \t]*(\1[ \t]*){2,}$/.test(line)) return { kind: "rule", end: at + 1 };
  if (depth < DEEPEST && /^ {0,3}>/.test(line)) {
    const end = run(lines, at, (each) => /^ {0,3}>/.test(each));
    const inside = lines.slice(at, end).map((each) => each.replace(/^ {0,3}> ?/, ""));
    return { kind: "quote", blocks: blocks(inside.join("\n"), depth + 1), end };
  }
  if (depth < DEEPEST && ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && lines[at + 1].length < 1000 && DIVIDER.test(lines[at + 1])) {
    const end = run(lines, at + 2, (each) => each.includes("|"));
    return { kind: "table", rows: [lines[at], ...lines.slice(at + 2, end)].map(cells), end };
  }
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !FENCE.test(lines[end]) && !/^ {0,3}(#{1,6}\s|>)/.test(lines[end]) && !ITEM.test(lines[end])) end += 1;
  return { kind: "paragraph", text: lines.slice(at, end).join("\n"), end };
}

function fenced(lines, at, fence) {
  const closing = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end += 1;
  return { kind: "code", language: fence[2], text: lines.slice(at + 1, end).join("\n"), end: Math.min(end + 1, lines.length), closed: end < lines.length };
}

function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[1].length > indent.length + 3 || /\d/.test(item[2]) !== ordered || item[1].length < indent.length) break;
    const width = item[0].length;
    const begin = end;
    end = run(lines, end + 1, (each, index) =>
      each.trim() ? each.startsWith(" ".repeat(Math.min(width, indent.length + 2))) || (lines[index - 1].trim() && !ITEM.test(each)) : (lines[index + 1] ?? "").startsWith(" ".repeat(indent.length + 2)));
    const inside = [lines[begin].slice(width), ...lines.slice(begin + 1, end).map((each) => each.replace(new RegExp(`^ {0,${width}}`), ""))];
    items.push(blocks(inside.join("\n"), depth + 1));
    if (end < lines.length && !lines[end].trim() && ITEM.test(lines[end + 1] ?? "")) end += 1;
  }
  return { kind: "list", from: ordered ? parseInt(mark, 10) : undefined, items, end };
}

function run(lines, at, holds) {
  let end = at;
  while (end < lines.length && holds(lines[end], end)) end += 1;
  return end;
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

export function draw(block) {
  switch (block.kind) {
    case "code":
      return html`<pre class="code" tabindex="0" aria-label=${`code ${block.language}`.trim()} role="region"><code><${Shown} text=${block.text} /></code></pre>`;
    case "heading": {
      // The page's own heading is the first of the outline, whatever the agent writes.
      const tag = `h${Math.min(block.level + 2, 6)}`;
      return html`<${tag}>${inline(block.text)}</${tag}>`;
    }
    case "rule":
      return html`<hr />`;
    case "quote":
      return html`<blockquote>${block.blocks.map(draw)}</blockquote>`;
    case "list": {
      const items = block.items.map((item) => html`<li>${item.length === 1 && item[0].kind === "paragraph" ? inline(item[0].text) : item.map(draw)}</li>`);
      return block.from === undefined ? html`<ul>${items}</ul>` : html`<ol start=${block.from}>${items}</ol>`;
    }
    case "table": {
      const [head, ...rows] = block.rows;
      return html`<div class="wide" tabindex="0" role="region" aria-label="table"><table><thead><tr>${head.map((cell) => html`<th scope="col">${inline(cell)}</th>`)}</tr></thead>
        <tbody>${rows.map((row) => html`<tr>${head.map((_, index) => html`<td>${inline(row[index] ?? "")}</td>`)}</tr>`)}</tbody></table></div>`;
    }
    default:
      return html`<p>${inline(block.text)}</p>`;
  }
}

const MARKS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };
const INTERESTING = /[`*_~[!<\\h]/g;

/** What stands in a line. Each closing mark is looked for once: a text full of opening ones takes no longer than another. */
export function inline(text, depth = 0) {
  const out = [];
  const missing = new Set();
  let from = 0;
  const put = (until, node, end) => {
    if (until > from) out.push(html`<${Shown} text=${text.slice(from, until)} />`);
    if (node !== undefined) out.push(node);
    from = end;
    INTERESTING.lastIndex = end;
  };
  const closing = (mark, after) => {
    if (missing.has(mark)) return -1;
    const found = text.slice(after, after + NEAR).indexOf(mark);
    if (found < 0 && after + NEAR >= text.length) missing.add(mark);
    return found < 0 ? -1 : after + found;
  };
  INTERESTING.lastIndex = 0;
  for (let match; (match = INTERESTING.exec(text)); ) {
    const at = match.index;
    const last = INTERESTING.lastIndex;
    const found = at < from || depth > DEEPEST ? undefined : special(text, at, closing, depth);
    if (found) put(at, found[0], found[1]);
    else INTERESTING.lastIndex = last;
    if (found) continue;
  }
  put(text.length, undefined, text.length);
  return out;
}

function special(text, at, closing, depth) {
  const character = text[at];
  if (character === "\\") return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") ? [text[at + 1], at + 2] : undefined;
  if (character === "`") {
    const ticks = /^`+/.exec(text.slice(at, at + 20))[0];
    const end = closing(ticks, at + ticks.length);
    return end < 0 ? [ticks, at + ticks.length] : [html`<code><${Shown} text=${text.slice(at + ticks.length, end).replace(/^ (.+) $/, "$1")} /></code>`, end + ticks.length];
  }
  if (character === "h") {
    if (/\w/.test(text[at - 1] ?? "") || !/^https?:\/\//.test(text.slice(at, at + 8))) return undefined;
    const url = /^https?:\/\/[^\s<>"'`)\]}]+/.exec(text.slice(at, at + 2000))?.[0].replace(/[.,;:!?]+$/, "");
    return url ? [link(url, [url], url), at + url.length] : undefined;
  }
  if (character === "[" || character === "!") return bracketed(text, at, closing, depth);
  if (character === "<") {
    const url = /^<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/.exec(text.slice(at, at + 2010));
    return url ? [link(url[1], [url[1]], url[1]), at + url[0].length] : undefined;
  }
  const mark = text.startsWith(character + character, at) ? character + character : character;
  if (!MARKS[mark] || /\s/.test(text[at + mark.length] ?? " ")) return undefined;
  // Inside words, underscores are part of a name.
  if (character === "_" && /\w/.test(text[at - 1] ?? "")) return undefined;
  const end = closing(mark, at + mark.length + 1);
  if (end < 0 || /\s/.test(text[end - 1])) return undefined;
  return [html`<${MARKS[mark]}>${inline(text.slice(at + mark.length, end), depth + 1)}</${MARKS[mark]}>`, end + mark.length];
}

function bracketed(text, at, closing, depth) {
  const image = text[at] === "!";
  const begin = at + (image ? 2 : 1);
  if (image && text[at + 1] !== "[") return undefined;
  const middle = closing("](", begin);
  if (middle < 0) return undefined;
  const end = closing(")", middle + 2);
  if (end < 0) return undefined;
  const url = text.slice(middle + 2, end).trim().split(/\s/)[0];
  const label = text.slice(begin, middle);
  if (label.includes("\n\n") || label.includes("[")) return undefined;
  return [link(url, image ? [`image: ${label || url}`] : inline(label, depth + 1), label), end + 1];
}

/** A link that can be followed, with its host beside a label that says something else; else its text and target as words. */
function link(url, label, words) {
  const target = followed(url);
  if (!target) return html`<span>${label} (<${Shown} text=${url} exact />)</span>`;
  const where = target.protocol === "mailto:" ? target.pathname : target.host;
  const told = words.includes(where) && /^[\x20-\x7e]*$/.test(words) ? null : html` <span class="where">(${where})</span>`;
  return html`<a href=${target.href} target="_blank" rel="noopener noreferrer">${label}</a>${told}`;
}

/** The address of a link that may be followed; its host is in punycode, as the browser will use it. */
export function followed(url) {
  try {
    const target = new URL(url);
    return ["http:", "https:", "mailto:"].includes(target.protocol) ? target : null;
  } catch {
    return null;
  }
}
