// States and reasons in words. Colour is never alone: each state has a shape and a word.
import { gist, line } from "./text.js";

export const STATES = {
  working: { shape: "●", word: "working" },
  waits: { shape: "◌", word: "waits" },
  asks: { shape: "◆", word: "asks you" },
  stuck: { shape: "▲", word: "stuck" },
  stopped: { shape: "■", word: "stopped" },
  idle: { shape: "○", word: "idle" },
  closed: { shape: "–", word: "closed" },
  damaged: { shape: "▲", word: "damaged" },
};

/** Problems that are tried again and again, and that only people end: a key, a bill, the settings. */
const OF_PEOPLE = /^(model_authentication|model_billing|config):/;

/** The state of a row of a list. What a person is needed for comes first. */
export function stateOf(row) {
  if (row.status === "damaged" || row.damaged) return "damaged";
  if (row.status === "closed" || row.status === "stopped") return row.status;
  const wanted = new Set((row.attention ?? []).map((each) => each.kind));
  if (row.prompts > 0 || wanted.has("prompt")) return "asks";
  const retried = ["timer", "compaction", "running"].includes(row.reason?.kind) && !OF_PEOPLE.test(row.problem ?? "");
  if ((row.problem && row.state !== "running" && !retried) || wanted.has("problem") || wanted.has("budget")) return "stuck";
  if (row.state === "running" || row.state === "queued") return "working";
  if (row.status === "waiting" || row.state === "waiting") return "waits";
  return "idle";
}

/** The state of a thread with its explanation. */
export function stateOfThread(thread) {
  const { state, reasons = [] } = thread.explanation ?? {};
  const kinds = new Set(reasons.map((reason) => reason.kind));
  if (thread.status === "damaged") return "damaged";
  if (state === "closed" || state === "stopped") return state;
  if (kinds.has("prompt")) return "asks";
  if (state === "running" || state === "queued") return "working";
  if (OF_PEOPLE.test(thread.problem ?? "")) return "stuck";
  if ((kinds.has("problem") && !kinds.has("timer") && !kinds.has("compaction")) || kinds.has("held_back")) return "stuck";
  return state === "waiting" ? "waits" : "idle";
}

export const REASONS = {
  running: "working",
  queued: "working",
  prompt: "asks",
  problem: "stuck",
  held_back: "stuck",
  failing: "stuck",
};

/** What a row of a list is called: its title, its first words, or its last ones. */
export function titleOf(row) {
  return line(row.title || row.opening, 120) || gist(row.last?.text, 120);
}

/** Whether a person made the thread to go on from another one's earlier point. */
export function isFork(row) {
  return Boolean(row.parent) && row.id.startsWith("fork_");
}

/** Why a row waits, in words. */
export function whyOf(row) {
  const state = stateOf(row);
  const { reason } = row;
  if (row.out_of_service) return line(row.out_of_service, 200);
  if (row.problem && (state === "stuck" || state === "damaged" || !reason)) return line(row.problem, 200);
  if (row.prompts > 0 && reason?.kind !== "prompt") return row.prompts === 1 ? "a question" : `${row.prompts} questions`;
  if (reason) return line(reason.text, 200);
  if (row.child_waits) return line(row.child_waits, 200);
  if (!row.last?.text) return "";
  return row.last.who === "person" ? `you: “${line(row.last.text, 160)}”` : `“${gist(row.last.text, 160)}”`;
}

/** Built-in tools, as a person would say what they do. */
export const BUILT_IN = {
  sleep: "sleeps",
  sleep_until_event_or_input: "waits for an event or for you",
  spawn_child: "starts a child",
};

/** How often the model was asked for one answer, and what went wrong before it came; empty for a single try. */
export function triesOf({ attempts, errors = [] }) {
  if (!(attempts > 1)) return "";
  const counted = [...new Set(errors)].map((code) => ({ code: line(code, 40), times: errors.filter((each) => each === code).length }));
  return `${attempts} attempts${counted.length ? `: ${counted.map(({ code, times }) => (times > 1 ? `${times}× ${code}` : code)).join(", ")}` : ""}`;
}

/**
 * What became of a question, and who decided.
 * @param {any} question as `asked` of thread_model.js keeps it @param {string} [me] the user of this page
 */
export function decisionOf({ kind, choices = [], closed }, me) {
  const by = closed.user ? `by ${closed.user === me ? "you" : line(closed.user, 40)}` : closed.alone ? "by itself: nobody answered" : "";
  if (closed.selected === null) return closed.user ? `dismissed ${by}` : "over, without an answer";
  const chosen = kind === "consent" ? (closed.selected === 0 ? "allowed" : "denied") : `“${line(choices[closed.selected] ?? `choice ${closed.selected + 1}`, 60)}”`;
  return `${chosen} ${by}`.trim();
}
