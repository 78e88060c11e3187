// Without a session: which command opens the console, and a field for the code that it prints.
import { html, useState } from "./lib.js";
import { refused, signIn } from "./api.js";

export default function SignIn() {
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
