// Every tool server: how it is, and what it offers.
import { html, useEffect, useState } from "./lib.js";
import { get, path } from "./api.js";
import { watch } from "./live.js";
import { thread as address } from "./router.js";
import { Long, plain, Shown, span } from "./text.js";
import { converse, Dialog, Since, State, tell } from "./ui.js";

const MARKS = { readOnly: "reads only", destructive: "destructive", idempotent: "idempotent", longRunning: "takes its time" };

export default function Tools() {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState("");
  const [tried, setTried] = useState(null);
  const read = () => get("/v1/toolsets").then((answer) => (setFound(answer), setFailed("")), (error) => setFailed(error.message));
  useEffect(() => {
    read();
    return watch(({ again }) => again && read());
  }, []);
  return html`<div class="page tools"><header class="head"><h1>Tools</h1></header>
    ${failed && html`<p class="refused" role="alert">${failed}</p>`}
    ${found?.problems.map((problem) => html`<p class="refused" key=${problem}><${Shown} text=${problem} /></p>`)}
    ${found?.toolsets.map((server) => html`<${Server} key=${server.name} server=${server} attempt=${setTried} />`)}
    ${found && !found.toolsets.length && html`<div class="empty"><p>No tool server is configured. Add one to <code>infinity.toml</code>: <code>[toolsets.kitchen]</code> with its <code>url</code>.</p></div>`}
    <${Try} tool=${tried} close=${() => setTried(null)} /></div>`;
}

function Server({ server, attempt }) {
  const state = server.problem ? (server.cached ? "waits" : "stuck") : "idle";
  const { process } = server;
  const [more, setMore] = useState(null);
  const look = () => get(path("toolsets", server.name)).then(setMore, (error) => tell(error.message));
  useEffect(() => void look(), [server.name]);
  const health = more?.server.health;
  const schemas = new Map(more?.server.tools.map((tool) => [tool.name, tool.input_schema]));
  return html`<section class="server"><header><h2>${plain(server.name)}</h2><${State} state=${state} words=${server.problem ? (server.cached ? "its last good definitions are used" : "cannot be used") : "works"} />
      <span class="muted id"><${Shown} text=${server.url} exact /></span>${process && html`<span class="muted">process ${process.pid ?? ""} ${process.state}${process.restarts ? `, ${process.restarts} restarts` : ""}</span>`}</header>
    ${server.problem && html`<p class="refused"><${Shown} text=${server.problem} />${server.rule ? ` (${server.rule})` : ""}</p>`}
    ${health && health.state !== "unknown" && html`<${Health} health=${health} />`}
    ${more && (more.calls.length ? html`<h3>Open calls</h3><ul class="plain">${more.calls.map((call) => html`<li key=${call.id}><strong><${Shown} text=${call.tool} exact /></strong> <span class="muted">${call.state === "sent" ? "under way" : "not sent yet"}${call.since ? html`, since <${Since} at=${call.since} />` : ""}</span> <a href=${address(call.thread)}>${call.thread}</a></li>`)}</ul>${more.more ? html`<p class="muted">There may be others.</p>` : ""}` : html`<p class="muted">No open call goes to it.</p>`)}
    ${more && html`<p><button class="quiet" onClick=${look}>Look again</button></p>`}
    ${server.description && html`<p class="muted"><${Shown} text=${server.description} /></p>`}
    <ul>${server.tools.map((tool) => html`<li key=${tool.name}><details class="tool"><summary><span class="name"><strong><${Shown} text=${tool.name} exact /></strong></span><span class="gist">${plain(tool.description).split("\n")[0]}</span>
      <span class="marks">${Object.entries(MARKS).map(([mark, words]) => tool.annotations?.[mark] === true && html`<span class=${`mark ${mark}`} key=${mark}>${words}</span>`)}${!tool.offered && html`<span class="mark">not offered</span>`}</span></summary>
      <div class="inside"><${Long} text=${tool.description} as="div" />${schemas.get(tool.name) && html`<h3>Schema</h3><${Long} text=${JSON.stringify(schemas.get(tool.name), null, 2)} />`}
        ${tool.offered && html`<button onClick=${() => attempt(tool)}>Try it</button>`}</div></details></li>`)}</ul></section>`;
}

/** How it has answered since the daemon began. */
function Health({ health }) {
  const took = health.p50_ms === null ? "" : `, half of the answers within ${span(health.p50_ms)}, 95 of 100 within ${span(health.p95_ms)}`;
  return html`<p class="muted">${health.state === "answers" ? "answers" : "does not answer"} since <${Since} at=${health.since} />${took}${health.last_error ? html`; last refusal or error <${Since} at=${health.last_error_at} /> ago: <${Shown} text=${health.last_error} />` : ""}</p>`;
}

/** A conversation of its own in which the scripted model calls a tool as it is told. */
function Try({ tool, close }) {
  const [text, setText] = useState("{}");
  if (!tool) return null;
  const send = async (event) => {
    event.preventDefault();
    try {
      const given = JSON.stringify(JSON.parse(text));
      await converse(`/call ${tool.name} ${given}`, { model: "scripted/default", title: `Try: ${tool.name}` });
      close();
    } catch (error) {
      tell(error instanceof SyntaxError ? "The arguments are not JSON." : error.message);
    }
  };
  return html`<${Dialog} open close=${close} title=${`Try ${plain(tool.name)}`}><form onSubmit=${send}><p>It begins a conversation in which the scripted model calls this tool with your arguments. The call is real.</p>
    <label for="arguments">Arguments, as JSON</label><textarea id="arguments" rows="6" value=${text} onInput=${(event) => setText(event.target.value)} spellcheck=${false}></textarea>
    <div class="answers"><button type="button" onClick=${close}>Cancel</button><button class="main">Call it</button></div></form></${Dialog}>`;
}
