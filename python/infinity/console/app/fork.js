// Going on from an earlier point another way: with other words, another model, or just once more.
import { html, signal, useEffect, useState } from "./lib.js";
import { path, post } from "./api.js";
import { textOf } from "./history.js";
import { about } from "./live.js";
import { go, thread as address } from "./router.js";
import { act, Dialog } from "./ui.js";

/** Where a fork is to begin: the item of a message; `null` while nobody asks. */
const forking = signal(null);

export function ForkHere({ item }) {
  return html`<button class="quiet fork" onClick=${() => (forking.value = item)} title="Say something else from here, in a thread of its own">fork from here</button>`;
}

/** @param {{thread: any}} props */
export function ForkDialog({ thread }) {
  const item = forking.value;
  const [text, setText] = useState("");
  const [model, setModel] = useState("");
  const [tools, setTools] = useState("ask");
  useEffect(() => {
    setText(item ? textOf(item.content) : "");
    setModel("");
    setTools("ask");
  }, [item]);
  useEffect(() => () => (forking.value = null), [thread.id]);
  const close = () => (forking.value = null);
  const submit = async (event) => {
    event.preventDefault();
    await act(async () => {
      const made = await post(path("threads", thread.id, "fork"), { at: item.position, say: text, tools, ...(model.trim() && { model: model.trim() }) });
      close();
      go(address(made.id));
    }, "Forked.");
  };
  return html`<${Dialog} open=${Boolean(item)} close=${close} title="Fork from here"><form onSubmit=${submit}>
    <p>A new thread knows what came before, and goes on with this instead. This one stays as it is.</p>
    <label>Say <textarea rows="4" required value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <label>Model <input list="fork-models" value=${model} onInput=${(event) => setModel(event.target.value)} spellcheck=${false} placeholder=${thread.model ?? "the same"} /></label>
    <datalist id="fork-models">${(about.value?.models ?? []).map((each) => html`<option value=${each.name} key=${each.name} />`)}</datalist>
    <label>Its tools <select value=${tools} onChange=${(event) => setTools(event.target.value)}><option value="ask">ask before every call</option><option value="as_configured">act as configured</option><option value="deny">are refused</option></select></label>
    <p class="muted">${tools === "as_configured" ? "Its calls act in the real world, once more." : ""}</p>
    <div class="answers"><button class="main" disabled=${!text.trim()}>Fork</button></div></form></${Dialog}>`;
}
