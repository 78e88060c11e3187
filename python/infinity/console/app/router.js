// Paths and pages: the address is the state, and the browser's own buttons work.
import { signal } from "./lib.js";

/** @typedef {{page: string, id?: string, other?: string, query: URLSearchParams}} Route */

export const route = signal(read());

function read() {
  const query = new URLSearchParams(location.search);
  const [first = "", ...rest] = location.pathname.split("/").slice(1).map(decoded);
  if (first === "t" && rest[0]) return { page: "thread", id: rest[0], query };
  if (first === "compare") return { page: "compare", id: rest[0], other: rest[1], query };
  return { page: ["inbox", "costs", "tools", "waits"].includes(first) ? first : "threads", query };
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The address of a thread's page. */
export function thread(id, query = "") {
  return `/t/${encodeURIComponent(id)}${query}`;
}

export function go(where, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", where);
  const before = route.peek();
  route.value = read();
  if (before.page !== route.value.page || before.id !== route.value.id) window.scrollTo(0, 0);
}

/** Links of our own are followed without loading the page anew. To be called once. */
export function start() {
  addEventListener("popstate", () => (route.value = read()));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.origin !== location.origin || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
