// The beginning: the code of a sign-in leaves the address before anything else happens, then the shell is drawn.
import { html, render } from "./lib.js";
import { refused, session, signIn } from "./api.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as prompts from "./prompts.js";
import * as router from "./router.js";
import { Shell } from "./shell.js";
import { theme } from "./ui.js";

/** Take the code of a sign-in out of the address, and use it. */
function arrive() {
  const code = /^#code=(.+)$/.exec(location.hash)?.[1];
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (!code) return;
  session.value = undefined;
  signIn(code).catch((error) => {
    refused.value = error.message;
    session.value = null;
  });
}

arrive();
// The address may also be opened in a tab that shows the console already.
addEventListener("hashchange", arrive);
theme();
router.start();
live.start();
prompts.start();
keys.start();
const app = document.getElementById("app");
app.textContent = "";
render(html`<${Shell} />`, app);
