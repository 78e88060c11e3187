// What happens in all threads as it happens: a drawer over the stream of all events, to be stopped, filtered and copied.
import { html, useEffect, useRef, useState } from "./lib.js";
import { source } from "./json.js";
import { about, follow } from "./live.js";
import { thread as address } from "./router.js";
import { count, exactly, line, Long } from "./text.js";
import { act, tail } from "./ui.js";

/** Events that are kept, and those of them that are in the page. */
const KEPT = 1000;
const SHOWN = 150;

/** Whether an event has all words of a filter in its kind, its thread or its data. */
export function fits(event, text) {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const whole = `${event.kind} ${event.data.thread ?? ""} ${source(event.data)}`.toLowerCase();
  return words.every((word) => whole.includes(word));
}

export default function Tail() {
  const [events, setEvents] = useState([]);
  const [paused, setPaused] = useState(false);
  const [words, setWords] = useState("");
  const [failed, setFailed] = useState("");
  const waiting = useRef([]);
  const [behind, setBehind] = useState(0);
  const stopped = useRef(false);
  stopped.current = paused;
  const streams = about.value?.stream;
  useEffect(() => {
    if (!streams) return undefined;
    let frame = 0;
    let number = 0;
    const take = () => {
      frame = 0;
      setBehind(waiting.current.length);
      if (stopped.current) return;
      const come = waiting.current.splice(0);
      setBehind(0);
      setEvents((before) => [...before, ...come].slice(-KEPT));
    };
    const stop = follow({
      path: "/v1/events",
      after: "latest",
      event: (kind, data) => {
        if (kind === "hello") return;
        waiting.current = [...waiting.current.slice(1 - KEPT), { key: (number += 1), kind, data, at: data.at ?? Date.now() }];
        frame ||= requestAnimationFrame(take);
      },
      ended: (error) => (setFailed(error.message), true),
    });
    return () => (stop(), cancelAnimationFrame(frame));
  }, [streams]);
  const go = () => {
    const come = waiting.current.splice(0);
    setPaused(false);
    setBehind(0);
    setEvents((before) => [...before, ...come].slice(-KEPT));
  };
  const list = events.filter((event) => fits(event, words));
  const copy = () => act(() => navigator.clipboard.writeText(source(list.map(({ kind, data }) => ({ kind, data })))), `${count(list.length)} events are copied.`);
  const box = useRef(null);
  useEffect(() => {
    if (!paused && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [events, paused, words]);
  return html`<section class="drawer" aria-label="Live tail" onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), (tail.value = false))}>
    <header><h2>Live tail</h2><input type="search" value=${words} onInput=${(event) => setWords(event.target.value)} placeholder="Filter" aria-label="Filter the events" />
      <span class="muted only-wide" role="status">${streams ? `${count(list.length)} events${behind ? `, ${count(behind)} more wait` : ""}` : ""}</span><span class="spring"></span>
      <button aria-pressed=${paused ? "true" : "false"} onClick=${() => (paused ? go() : setPaused(true))}>${paused ? "Go on" : "Pause"}</button>
      <button disabled=${!list.length} onClick=${copy}>Copy as JSON</button>
      <button class="quiet" onClick=${() => (tail.value = false)} aria-label="Close the live tail">✕</button></header>
    ${failed && html`<p class="refused" role="alert">${failed}</p>`}
    ${streams === false && html`<p class="muted">This host has no stream of all events.</p>`}
    <div class="events" ref=${box} tabindex="0" role="region" aria-label="Events">${list.slice(-SHOWN).map((event) => html`<${Event} key=${event.key} event=${event} />`)}
      ${streams && !list.length && html`<p class="muted">${events.length ? "No event has these words." : "What happens from now on appears here."}</p>`}</div></section>`;
}

function Event({ event: { kind, data, at } }) {
  const [open, setOpen] = useState(false);
  const { thread, ...rest } = data;
  return html`<details class="tool" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary><time title=${exactly(at)}>${new Date(at).toLocaleTimeString("en-GB")}</time><span class="name"><strong>${line(kind, 40)}</strong></span>
      ${thread && html`<span class="id">${line(thread, 24)}</span>`}<span class="gist">${line(source(rest), 200)}</span></summary>
    ${open && html`<div class="inside">${thread && html`<a href=${address(thread)}>Open the thread</a>`}<${Long} text=${source(data)} most=${8000} /></div>`}</details>`;
}
