// What will wake by itself: threads that wait, timers, deliveries on their way, subscriptions; and what came to nothing.
import { html, useEffect, useState } from "./lib.js";
import { get, path, post, remove } from "./api.js";
import { Arguments } from "./json.js";
import { watch } from "./live.js";
import { thread as address } from "./router.js";
import { exactly, line, Shown } from "./text.js";
import { act, Since, State, tell } from "./ui.js";
import { stateOf, titleOf, whyOf } from "./words.js";

const SHOWN = 100;
const PURPOSES = { sleep: "wakes the agent", deadline: "ends a call", retry: "asks the model again", prompt: "ends a question" };

export default function Waits() {
  const [subscriptions, setSubscriptions] = useState(null);
  const [waiting, setWaiting] = useState([]);
  const [more, setMore] = useState({ timers: [], deliveries: [], discards: [] });
  const [failed, setFailed] = useState("");
  const read = async () => {
    try {
      const asked = ["/v1/subscriptions?limit=500", "/v1/threads?status=waiting&limit=200&explain=1", `/v1/timers?limit=${SHOWN}`, `/v1/outbox?limit=${SHOWN}`, `/v1/discards?limit=${SHOWN}`];
      const [listed, threads, timers, outbox, discards] = await Promise.all(asked.map((each) => get(each)));
      setMore({ ...timers, ...outbox, ...discards });
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
  const retry = (each) => act(async () => {
    const { status } = await post(path("outbox", each.key, "retry"));
    tell(status === "now" ? "It is being tried." : "It is under way already.");
    await read();
  });
  return html`<div class="page waits"><header class="head"><h1>Waits</h1></header>${failed && html`<p class="refused" role="alert">${failed}</p>`}
    <section><h2>Threads that wait</h2>${waiting.length ? html`<ul class="tree">${waiting.map((row) => html`<li key=${row.id}><a class=${`row ${stateOf(row)}`} href=${address(row.id)}><${State} state=${stateOf(row)} /><span class="title">${titleOf(row) || row.id}</span><span class="why">${whyOf(row)}</span><span class="age"><${Since} at=${row.reason?.since ?? row.updated_at} /></span></a></li>`)}</ul>` : html`<p class="muted">No thread waits for anything.</p>`}</section>
    <section><h2>Subscriptions</h2>${subscriptions?.length ? html`<ul class="plain">${subscriptions.map((each) => html`<li key=${each.call_id} class="server"><header><strong><${Shown} text=${each.tool} exact /></strong><span class="muted">of <${Shown} text=${each.toolset} exact />${each.since ? html`, since <${Since} at=${each.since} />` : ""}</span>
      <a href=${address(each.thread)}>${line(each.title, 80) || each.thread}</a><span class="spring"></span><button onClick=${() => end(each)}>End</button></header><${Arguments} value=${each.arguments} /></li>`)}</ul>` : subscriptions && html`<p class="muted">No thread has subscribed to anything.</p>`}</section>
    <section><h2>Deliveries under way</h2>${more.deliveries.length ? html`<ul class="plain">${more.deliveries.map((each) => html`<li key=${each.key} class="server"><header><strong>${line(each.kind, 40)}</strong><span class="muted id"><${Shown} text=${each.target} exact /></span>
      <a href=${address(each.thread)}>${each.thread}</a><span class="spring"></span><button onClick=${() => retry(each)} disabled=${!each.next_at}>Retry now</button></header>
      <p class=${each.trouble ? "refused" : "muted"}>${each.attempts ? `${each.attempts} ${each.attempts === 1 ? "try" : "tries"} failed` : "not tried yet"}${each.next_at ? `, the next ${exactly(each.next_at)}` : ""}${each.trouble ? html`: <${Shown} text=${each.trouble} />` : ""}</p></li>`)}</ul>` : html`<p class="muted">Everything that was recorded has left.</p>`}</section>
    <section><h2>Timers</h2>${more.timers.length ? html`<ul class="plain">${more.timers.map((each) => html`<li key=${`${each.thread} ${each.id}`}>${exactly(each.due_at)} <span class="muted">${PURPOSES[each.purpose] ?? line(each.purpose, 40)}</span> <a href=${address(each.thread)}>${each.thread}</a></li>`)}</ul>` : html`<p class="muted">No timer is set.</p>`}</section>
    ${more.discards.length > 0 && html`<section><h2>What came to nothing</h2><ul class="plain">${more.discards.map((each) => html`<li key=${`${each.thread} ${each.message}`}>${exactly(each.at)} <${Shown} text=${each.reason} /> <a href=${address(each.thread)}>${each.thread}</a> <span class="muted id"><${Shown} text=${each.message} exact /></span></li>`)}</ul></section>`}</div>`;
}
