// What is around every page: the bar, the pages themselves, keys, the sign-in, and what is said for a moment.
import { html, useEffect, useState } from "./lib.js";
import { away, refused, session, signIn, signOut } from "./api.js";
import * as prompts from "./prompts.js";
import { route } from "./router.js";
import { moment } from "./text.js";
import { Threads } from "./threads.js";
import { act, chosen, Dialog, help, palette, said, tail, turn } from "./ui.js";

const PAGES = {
  thread: () => import("./thread.js"),
  inbox: () => import("./inbox.js"),
  costs: () => import("./costs.js"),
  tools: () => import("./tools.js"),
  waits: () => import("./waits.js"),
  compare: () => import("./compare.js"),
  tail: () => import("./tail.js"),
  palette: () => import("./palette.js"),
};
const LINKS = [
  ["threads", "/", "Threads", "≡"],
  ["inbox", "/inbox", "Inbox", "◆"],
  ["costs", "/costs", "Costs", "$"],
  ["tools", "/tools", "Tools", "⚒"],
  ["waits", "/waits", "Waits", "◌"],
];

export function Shell() {
  if (session.value === undefined) return html`<${Bar} bare /><main class="lone"><p>Signing in …</p></main>`;
  if (session.value === null) return html`<${Bar} bare /><${SignIn} />`;
  return html`<a class="skip" href="#main" onClick=${skip}>To the content</a>
    <${Bar} /><${Away} /><main id="main" tabindex="-1"><${Page} /></main>${tail.value && html`<${Loaded} page="tail" />`}<${Said} />${palette.value && html`<${Loaded} page="palette" />`}<${Help} />`;
}

/** Without a session: which command opens the console, and a field for the code that it prints. It is here, because the end of a session may cut off whatever is being loaded. */
function SignIn() {
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      // The whole address may be pasted, too.
      await signIn(/#code=(.+)$/.exec(code)?.[1] ?? code);
    } catch (error) {
      refused.value = error.message;
      setBusy(false);
    }
  };
  return html`<main class="lone" id="main"><h1>Sign in</h1>
    <p>Run this on the machine of the daemon. It opens the console, signed in:</p>
    <pre class="code"><code>infinity console</code></pre>
    <p>Without a browser there, <code>infinity console --no-browser</code> prints an address with a code. The code is good for a minute, once.</p>
    <form onSubmit=${send}><label for="code">Code</label>
      <div class="row"><input id="code" value=${code} onInput=${(event) => setCode(event.target.value)} autocomplete="off" spellcheck=${false} autocapitalize="off" required />
      <button class="main" disabled=${busy}>Sign in</button></div></form>
    ${refused.value && html`<p class="refused" role="alert">${refused.value}</p>`}</main>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Bar({ bare }) {
  const page = route.value.page;
  const number = prompts.total.value;
  return html`<header class="bar">
    <a class="brand" href="/"><span aria-hidden="true">∞</span> <span>Infinity</span></a>
    ${!bare && html`<nav aria-label="Pages">${LINKS.map(([name, href, words, sign]) => html`<a href=${href} key=${name} aria-current=${page === name ? "page" : undefined}>
      <span class="sign" aria-hidden="true">${sign}</span>${words}${name === "inbox" && number > 0 && html` <span class="number" title=${number === 1 ? "1 open question" : `${number} open questions`}>${number}</span>`}</a>`)}</nav>`}
    <span class="spring"></span>
    ${!bare && html`<button class="quiet only-wide" onClick=${() => (palette.value = true)} title="Go to, or do (Ctrl-K)"><kbd>${/Mac|iP/.test(navigator.platform) ? "⌘K" : "Ctrl K"}</kbd></button>`}
    ${!bare && html`<button class="quiet only-wide" onClick=${() => (help.value = true)} aria-label="Keys" title="Keys (?)">?</button>`}
    <button class="quiet" onClick=${turn} title="Light, dark, or as the system has it" aria-label=${`Colours: ${chosen.value}`}>${{ system: "◐", light: "○", dark: "●" }[chosen.value]}</button>
    ${!bare && html`<button class="quiet only-wide" onClick=${() => act(signOut)} title="End this session">Sign out</button>`}
  </header>`;
}

function Away() {
  if (!away.value) return null;
  return html`<p class="notice" role="status">The daemon is away since ${moment(away.value)}; trying again. Nothing you have typed is lost.</p>`;
}

function Said() {
  return html`<p class=${said.value ? "toast" : "toast nothing"} role="status" aria-live="polite">${said.value}</p>`;
}

function Page() {
  const { page } = route.value;
  const number = prompts.total.value;
  useEffect(() => {
    const name = page === "thread" ? "Thread" : page[0].toUpperCase() + page.slice(1);
    document.title = `${number ? `(${number}) ` : ""}${name} · Infinity`;
  }, [page, number]);
  return html`<${Loaded} page=${page} />`;
}

/** A page, whose module is loaded when it is first shown. */
function Loaded({ page }) {
  const [loaded, setLoaded] = useState({ threads: Threads });
  const [failed, setFailed] = useState("");
  useEffect(() => {
    // Once more when a daemon that was away is back.
    if (loaded[page] || away.value) return;
    PAGES[page]().then(
      (module) => (setFailed(""), setLoaded((before) => ({ ...before, [page]: module.default }))),
      () => setFailed("This page could not be loaded; the daemon may have been updated. Load it again."),
    );
  }, [page, away.value]);
  const Found = loaded[page];
  if (Found) return html`<${Found} key=${page} />`;
  return failed ? html`<div class="lone"><p role="alert">${failed}</p><button onClick=${() => location.reload()}>Load again</button></div>` : null;
}

const KEYS = [
  ["g t, g i, g c, g o, g w", "Threads, Inbox, Costs, Tools, Waits"],
  ["j, k, ↓, ↑", "the next, the one before"],
  ["Enter", "open"],
  ["Esc", "back"],
  ["/", "search"],
  ["Ctrl-K, ⌘K", "everything by its name: pages, threads, actions"],
  ["~", "the live tail: what happens, as it happens"],
  [".", "show what is new"],
  ["i", "say something"],
  ["[, ]", "your message before, after"],
  ["e", "open or fold the call in focus"],
  ["A (with Shift), d", "allow, deny: only the card that has the focus"],
  ["1 … 9", "a choice of the card that has the focus"],
  ["?", "these keys"],
];

function Help() {
  return html`<${Dialog} open=${help.value} close=${() => (help.value = false)} title="Keys">
    <dl class="keys">${KEYS.map(([key, words]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
    <p class="muted">No single key decides anything unless its card has the focus.</p></${Dialog}>`;
}
