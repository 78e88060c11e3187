// The beginning: the code of a sign-in leaves the address before anything else happens, then the shell is drawn.
import { html, render } from "./lib.js";
import { refused, session, signIn } from "./api.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as prompts from "./prompts.js";
import * as router from "./router.js";
import { Shell } from "./shell.js";
import { theme } from "./ui.js";

const code = /^#code=(.+)$/.exec(location.hash)?.[1];
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
theme();
router.start();
if (code) {
  session.value = undefined;
  signIn(decodeURIComponent(code)).catch((error) => {
    refused.value = error.message;
    session.value = null;
  });
}
live.start();
prompts.start();
keys.start();
const app = document.getElementById("app");
app.textContent = "";
render(html`<${Shell} />`, app);
