// Keys that work on every page. What a page does with `j`, `k`, `.` and the like, it says with `bind`.
import { go } from "./router.js";
import { session } from "./api.js";
import { help, palette, tail } from "./ui.js";

const PAGES = { t: "/", i: "/inbox", c: "/costs", o: "/tools", w: "/waits" };
const bound = [];
let before = "";
let at = 0;

/** What keys do while a page is open. @param {Record<string, (event: KeyboardEvent) => void>} keys @returns a function that ends it */
export function bind(keys) {
  bound.push(keys);
  return () => bound.splice(bound.indexOf(keys), 1);
}

/** Whether somebody is typing. */
export function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k" && session.peek()) {
      event.preventDefault();
      if (palette.peek() || !document.querySelector("dialog[open]")) palette.value = !palette.peek();
      return;
    }
    // What is typed while the list of everything is about to open is not meant for the page.
    if (palette.peek()) {
      if (event.key === "Escape") palette.value = false;
      return;
    }
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const after = before === "g" && Date.now() - at < 1500;
    before = event.key;
    at = Date.now();
    if (after && PAGES[event.key]) return go(PAGES[event.key]);
    if (event.key === "~" && session.peek()) return void (tail.value = !tail.peek());
    if (event.key === "?") return void (help.value = true);
    for (const keys of [...bound].reverse()) {
      if (!keys[event.key]) continue;
      event.preventDefault();
      return void keys[event.key](event);
    }
  });
}
