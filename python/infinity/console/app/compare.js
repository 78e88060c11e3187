// Two threads side by side, which comes with forks.
import { html } from "./lib.js";
import { route, thread as address } from "./router.js";

export default function Compare() {
  const { id = "", other = "" } = route.value;
  return html`<div class="lone"><h1>Compare</h1><p>Threads are not compared in this version yet. Each of them can be read:</p>
    <ul><li><a href=${address(id)}>${id}</a></li><li><a href=${address(other)}>${other}</a></li></ul></div>`;
}
