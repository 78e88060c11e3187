// What will wake by itself: subscriptions, and threads that wait.
import { html, useEffect, useState } from "./lib.js";
import { get, path, remove } from "./api.js";
import { Arguments } from "./json.js";
import { watch } from "./live.js";
import { thread as address } from "./router.js";
import { line, Shown } from "./text.js";
import { act, Since, State } from "./ui.js";
import { stateOf, titleOf, whyOf } from "./words.js";

export default function Waits() {
  const [subscriptions, setSubscriptions] = useState(null);
  const [waiting, setWaiting] = useState([]);
  const [failed, setFailed] = useState("");
  const read = async () => {
    try {
      const [listed, threads] = await Promise.all([get("/v1/subscriptions?limit=500"), get("/v1/threads?status=waiting&limit=200&explain=1")]);
      setSubscriptions(listed.subscriptions);
      setWaiting(threads.threads);
      setFailed("");
    } catch (error) {
      setFailed(error.message);
    }
  };
  useEffect(() => {
    read();
    let waiting = 0;
    const soon = () => (waiting ||= setTimeout(() => ((waiting = 0), document.hidden || read()), 1000));
    const unwatch = watch(soon);
    return () => (unwatch(), clearTimeout(waiting));
  }, []);
  const end = (each) => act(async () => (await remove(path("threads", each.thread, "subscriptions", each.call_id)), await read()), "The subscription is ended.");
  return html`<div class="page waits"><header class="head"><h1>Waits</h1></header>${failed && html`<p class="refused" role="alert">${failed}</p>`}
    <section><h2>Threads that wait</h2>${waiting.length ? html`<ul class="tree">${waiting.map((row) => html`<li key=${row.id}><a class=${`row ${stateOf(row)}`} href=${address(row.id)}><${State} state=${stateOf(row)} /><span class="title">${titleOf(row) || row.id}</span><span class="why">${whyOf(row)}</span><span class="age"><${Since} at=${row.reason?.since ?? row.updated_at} /></span></a></li>`)}</ul>` : html`<p class="muted">No thread waits for anything.</p>`}</section>
    <section><h2>Subscriptions</h2>${subscriptions?.length ? html`<ul class="plain">${subscriptions.map((each) => html`<li key=${each.call_id} class="server"><header><strong><${Shown} text=${each.tool} exact /></strong><span class="muted">of <${Shown} text=${each.toolset} exact />${each.since ? html`, since <${Since} at=${each.since} />` : ""}</span>
      <a href=${address(each.thread)}>${line(each.title, 80) || each.thread}</a><span class="spring"></span><button onClick=${() => end(each)}>End</button></header><${Arguments} value=${each.arguments} /></li>`)}</ul>` : subscriptions && html`<p class="muted">No thread has subscribed to anything.</p>`}</section></div>`;
}
