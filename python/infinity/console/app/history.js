// Entries become what a conversation shows: messages, the agent's turns with their calls, events. No DOM in here.

const STAMP = /^\(time: [A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [^\s()]{1,64}\)$/;

/** What the model reads of the time is left out: entries have times of their own. */
export function isStamp(block) {
  return block.type === "text" && STAMP.test(block.text);
}

/** The texts and pictures of content blocks. */
export function contents(blocks) {
  if (typeof blocks === "string") return [{ type: "text", text: blocks }];
  return (blocks ?? []).filter((block) => !isStamp(block));
}

/** The text of content blocks alone. */
export function textOf(blocks) {
  return contents(blocks).map((block) => (block.type === "text" ? block.text : block.type === "tool_result" ? textOf(block.content) : block.type === "image" ? "(image)" : "")).join("\n");
}

/**
 * @param {any[]} entries by position
 * @param {Map<string, string>} [lines] by call, the line that its tool has for people
 * @returns {any[]} items in order; each has `key`, `kind` (`said`, `told`, `turn`, `event`, `result`, `summary`) and `at`
 */
export function fold(entries, lines = new Map()) {
  const items = [];
  const calls = new Map();
  for (const entry of entries) {
    const item = { key: entry.position, kind: entry.kind, at: entry.at, position: entry.position, meta: entry.meta ?? {}, entry };
    if (entry.kind === "turn") {
      item.blocks = entry.assistant.map((block) => {
        if (block.type !== "tool_use") return block;
        const call = { type: "call", id: block.id, name: block.name, input: block.input, line: lines.get(block.id), at: entry.at };
        calls.set(block.id, call);
        return call;
      });
    } else if (entry.kind === "result") {
      if (answered(entry, calls)) continue;
      item.content = entry.user;
    } else if (entry.kind === "event") {
      const call = calls.get(item.meta.call_id);
      item.tool = call?.name ?? entry.assistant.find((block) => block.type === "tool_use")?.name ?? "a tool";
      item.content = entry.user;
      item.late = Boolean(call) && !("seq" in item.meta && item.meta.seq !== null);
      if (call && !call.result) call.result = { pending: true, content: [] };
      if (call?.result?.pending) call.later = { position: entry.position, at: entry.at };
    } else if (entry.kind === "summary") {
      item.content = entry.user;
    } else {
      item.kind = item.meta.message_id ? "said" : "told";
      item.content = contents(entry.user);
    }
    items.push(item);
  }
  return items;
}

/** Put a result to its call, which is in the list. A placeholder says only that the call is still running. */
function answered(entry, calls) {
  const results = entry.user.filter((block) => block.type === "tool_result");
  if (!results.length || !results.every((block) => calls.has(block.tool_use_id))) return false;
  for (const block of results) {
    calls.get(block.tool_use_id).result = {
      content: contents(block.content),
      at: entry.at,
      position: entry.position,
      failed: Boolean(block.is_error) || /^Error: /.test(textOf(block.content)),
      pending: !entry.meta?.call_id,
      display: entry.meta?.display,
    };
  }
  return true;
}

/**
 * What has been streamed of an answer, before it is on record: whole blocks, and a tail that may still change.
 * @returns {[string, string]}
 */
export function settled(text) {
  let end = 0;
  let fenced = "";
  let at = 0;
  for (const line of text.split("\n")) {
    at += line.length + 1;
    const fence = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence && !fenced) fenced = fence[0];
    else if (fence && fence[0] === fenced) fenced = "";
    if (!fenced && !line.trim() && at <= text.length) end = at;
  }
  return [text.slice(0, end), text.slice(end)];
}

/** The kind of a picture by its first bytes, whatever is said of it; `null` for what is not shown. */
export function pictureType(bytes) {
  const begins = (...values) => values.every((value, index) => value === null || bytes[index] === value);
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a)) return "image/png";
  if (begins(0xff, 0xd8, 0xff)) return "image/jpeg";
  if (begins(0x47, 0x49, 0x46, 0x38)) return "image/gif";
  if (begins(0x52, 0x49, 0x46, 0x46, null, null, null, null, 0x57, 0x45, 0x42, 0x50)) return "image/webp";
  return null;
}
