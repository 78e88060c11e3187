// A page of assertions over the console's modules. Answers with what does not hold.
async (base) => {
  const { render, html } = await import(`${base}/lib.js`);
  const { gist, pieces, plain, line, span, dollars, tokens } = await import(`${base}/text.js`);
  const { blocks, Markdown } = await import(`${base}/markdown.js`);
  const { fold, settled, isStamp, pictureType } = await import(`${base}/history.js`);
  const { inSight } = await import(`${base}/list.js`);
  const { nested, says } = await import(`${base}/threads.js`);
  const { indented } = await import(`${base}/thread.js`);
  const { asked } = await import(`${base}/thread_model.js`);
  const { fits } = await import(`${base}/tail.js`);
  const { matching } = await import(`${base}/palette.js`);
  const { axis, bars } = await import(`${base}/timeline.js`);
  const prompts = await import(`${base}/prompts.js`);
  const { argumentsOf, hidden } = await import(`${base}/card.js`);
  const { punycode, source, deep } = await import(`${base}/json.js`);
  const { stateOf, stateOfThread, titleOf, triesOf, decisionOf } = await import(`${base}/words.js`);
  const failures = [];
  const same = (found, wanted, what) => {
    if (JSON.stringify(found) !== JSON.stringify(wanted)) failures.push(`${what}: ${JSON.stringify(found)} and not ${JSON.stringify(wanted)}`);
  };
  const drawn = (text) => {
    const box = document.createElement("div");
    render(html`<${Markdown} text=${text} />`, box);
    return box;
  };

  // Texts
  same(pieces("plain"), ["plain"], "a plain text is one piece");
  same(plain("a\u202eb"), "a⟨U+202E⟩b", "bidi");
  same(plain("a\u{e0041}b"), "a⟨U+E0041⟩b", "tags");
  same(plain("a\u200db"), "a\u200db", "joiners stay in prose");
  same(plain("a\u200db", true), "a⟨U+200D⟩b", "joiners are seen where somebody decides");
  same(plain("a\u00a0b", true), "a⟨U+00A0⟩b", "unusual spaces too");
  same(plain("a b\u0007"), "a b⟨U+0007⟩", "control characters");
  same(plain("line\nline", true), "line\nline", "line breaks are seen as they are");
  same(plain("\ud800"), "⟨U+D800⟩", "halves of characters");
  same(line("a\n\tb  c"), "a b c", "one line");
  same([span(812), span(1900), span(125_000), span(86_400_000 * 3)], ["812 ms", "1.9 s", "2 m", "3 d"], "spans");
  same([dollars(0), dollars(0.012), dollars(1.8), dollars(0.0000001)], ["", "$0.012", "$1.80", "< $0.001"], "dollars");
  same([tokens(41_200), tokens(999), tokens(1_500)], ["41 k tokens", "999 tokens", "1.5 k tokens"], "tokens");

  // Markdown
  same(blocks("a\n\nb").map((each) => each.kind), ["paragraph", "paragraph"], "paragraphs");
  same(blocks("# T\n- a\n- b\n\n> q\n\n```js\nx\n```\n---\n|a|b|\n|-|-|\n|1|2|").map((each) => each.kind), ["heading", "list", "quote", "code", "rule", "table"], "blocks");
  same(blocks("- a\n  - b\n    - c")[0].items[0][1].kind, "list", "lists in lists");
  same(blocks("3. a\n4. b")[0].from, 3, "numbers of lists");
  same(drawn("**a** _b_ `c` ~~d~~ snake_case_name").innerText.trim(), "a b c d snake_case_name", "marks");
  same(drawn("**a** `c`").querySelectorAll("strong, code").length, 2, "marks are elements");
  same(drawn("<b>x</b><script>alert(1)</script>").querySelectorAll("b, script").length, 0, "no HTML");
  same(drawn("[x](javascript:alert(1)) [y](data:text/html,z) ![i](https://e.example/i.png)").querySelectorAll("img").length, 0, "no remote pictures");
  same([...drawn("[x](javascript:alert(1)) [y](https://a.example/p)").querySelectorAll("a")].map((each) => each.href), ["https://a.example/p"], "links");
  same(drawn("[https://bank.example](https://evil.example/)").innerText.includes("(evil.example)"), true, "the real host is beside the label");
  same(drawn("see https://a.example/x.").querySelector("a").href, "https://a.example/x", "addresses in texts");
  same(drawn("[x](https://xn--pple-43d.example) [y](https://аpple.example/)").innerText.split("xn--pple-43d.example").length - 1, 2, "punycode");
  for (const each of drawn("[x](https://a.example)").querySelectorAll("a")) same([each.rel, each.target], ["noopener noreferrer", "_blank"], "links open elsewhere");
  for (const hostile of ["*a ".repeat(30_000), "[".repeat(60_000), "`".repeat(60_000), "> ".repeat(20_000), "- ".repeat(20_000), "![](".repeat(20_000), "**".repeat(40_000), "|".repeat(60_000) + "\n" + "-|".repeat(30_000), "_a_".repeat(30_000)]) {
    const begin = performance.now();
    drawn(hostile);
    if (performance.now() - begin > 8_000) failures.push(`Markdown took ${Math.round(performance.now() - begin)} ms over ${hostile.slice(0, 8)}`);
  }
  same(settled("a\n\nb"), ["a\n\n", "b"], "whole blocks");
  same(settled("```\na\n\nb"), ["", "```\na\n\nb"], "code is whole at its end");
  same(settled(""), ["", ""], "nothing");

  same([gist("# Plan\n**412 parcels** left, *late* `x`"), gist("2 * 3 * 4, snake_case"), gist("*".repeat(5000)).length > 0], ["Plan 412 parcels left, late x", "2 * 3 * 4, snake_case", true], "words without their marks");

  // Histories
  const turn = { position: 1, kind: "turn", at: 5, assistant: [{ type: "text", text: "I look." }, { type: "tool_use", id: "c1", name: "price", input: {} }], user: [], meta: {} };
  const result = (meta, text, position = 2) => ({ position, kind: "result", at: 9, assistant: [], user: [{ type: "tool_result", tool_use_id: "c1", content: [{ type: "text", text }] }], meta });
  same(fold([turn, result({ call_id: "c1" }, "4.20")]).length, 1, "a result belongs to its call");
  same(fold([turn, result({ call_id: "c1" }, "4.20")])[0].blocks[1].result.pending, false, "a result");
  same(fold([turn, result({ call_id: "c1" }, "Error: no")])[0].blocks[1].result.failed, true, "a failure");
  same(fold([turn, result({}, "still running")])[0].blocks[1].result.pending, true, "a placeholder");
  same(fold([result({ call_id: "c1" }, "4.20")])[0].kind, "result", "a result whose call is not read yet");
  const late = { position: 3, kind: "event", at: 12, assistant: [{ type: "tool_use", id: "e", name: "receive_event", input: {} }], user: [], meta: { call_id: "c1" } };
  same(fold([turn, result({}, "still running"), late])[0].blocks[1].later.position, 3, "a result that comes later");
  same(fold([{ position: 0, kind: "user", at: 1, assistant: [], user: [{ type: "text", text: "hello" }], meta: { message_id: "m" } }])[0].kind, "said", "what a person says");
  same(isStamp({ type: "text", text: "(time: Mon 2026-11-30 20:08:04 UTC)" }), true, "stamps");
  same([pictureType([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a]), pictureType([0x3c, 0x73, 0x76, 0x67])], ["image/png", null], "pictures by their bytes");

  // Lists
  same(inSight(0, 800, 40, 100_000), [0, 26], "the beginning");
  same(inSight(4_000_000, 800, 40, 100_000)[1], 100_000, "the end");
  same(nested([{ id: "b", parent: "a", root: "a" }, { id: "c" }, { id: "a" }]).map((row) => row.id), ["c", "a", "b"], "children are under their root");
  same(nested([{ id: "b", parent: "a", root: "a" }]).map((row) => row.id), ["b"], "a child without its root");
  same(indented([{ id: "c", parent: "b", created_at: 3 }, { id: "b", parent: "a", created_at: 2 }, { id: "a", created_at: 1 }]).map(({ depth }) => depth), [0, 1, 2], "trees");
  const named = { id: "thread_1", title: "", opening: "When does the train leave?" };
  same(["thread_", "TRAIN  when", "", "bergen", "read_1"].map((text) => says(named, text)), [true, true, true, false, false], "a search finds as the daemon does");
  let chain = [{ id: "0", created_at: 0 }];
  for (let index = 1; index < 2000; index += 1) chain.push({ id: `${index}`, parent: `${index - 1}`, created_at: index });
  same(indented(chain).length, 2000, "deep trees");

  // Times
  const scale = axis([0, 1000, 2000, 3000, 10_000_000]);
  same([scale.at(0), scale.at(10_000_000), scale.cuts.length], [0, 1, 1], "an axis");
  same(scale.at(1000) > 0.02 && scale.at(500) < scale.at(1000), true, "a long stretch leaves room for the short ones");
  same(axis([]).at(5), 0, "an axis of nothing");
  const done = bars(fold([{ ...turn, meta: { asked_at: 100, ms: 50, first_ms: 20 } }, result({ call_id: "c1" }, "4.20")]), new Map(), [], 1000);
  same(done.map(({ lane, start, end }) => [lane, start, end]), [["model", 100, 150], ["call", 150, 150]], "bars end no earlier than they begin");
  const under = bars(fold([turn]), new Map([["c1", { id: "c1", until: 5000 }]]), [{ id: "p", tool: "t", asked_at: 400 }], 1000);
  same(under.map(({ lane, end, known }) => [lane, end, known]), [["model", 5, false], ["call", 1000, true], ["question", 1000, true]], "what is open ends now");
  const failed = bars(fold([{ ...turn, meta: { asked_at: 100, ms: 50, first_ms: 20, attempts: 3, errors: ["model_overloaded", "model_overloaded"] } }]), new Map(), [], 1000)[0];
  same([failed.tries, failed.first], ["3 attempts: 2× model_overloaded", 120], "what failed before an answer came is in its row");
  same([triesOf({}), triesOf({ attempts: 2, errors: ["timeout"] })], ["", "2 attempts: timeout"], "attempts");
  const over = asked(asked(new Map(), "prompt", { id: "consent.c1", prompt_kind: "consent", tool: "price", choices: ["Allow", "Deny"], at: 20 }), "prompt_closed", { id: "consent.c1", selected: 1, user_id: "ida", at: 30 });
  const decided = bars(fold([turn]), new Map(), [], 1000, { questions: over, problems: [{ at: 4, code: "before", text: "" }, { at: 40, code: "model_billing", text: "no credit" }], me: "ida" });
  same(decided.map(({ lane, name, start, end }) => [lane, name, start, end]), [["model", "model", 5, 5], ["call", "price", 5, 5], ["question", "price asked: denied by you", 20, 30], ["problem", "model_billing", 40, 40]], "questions that are over and problems have their places in time");
  same(asked(over, "prompt_closed", { id: "consent.c1", selected: null, at: 50 }).get("consent.c1").closed.selected, 1, "the end of a call takes nothing back");
  same(decisionOf({ kind: "choice", choices: ["Yes", "No"], closed: { selected: 0, user: "ida" } }, "bob"), "“Yes” by ida", "somebody else's choice");
  same(decisionOf({ kind: "choice", closed: { selected: null, user: null } }), "over, without an answer", "a question that ended");
  same([titleOf({ title: "", opening: "", last: { text: "bye" } }), titleOf({ id: "x" })], ["bye", ""], "last words stand for a title");

  // The tail and the list of everything
  const happened = { kind: "problem", data: { thread: "thread_1", text: "No credit" } };
  same(["", "PROBLEM credit", "thread_1", "prompt"].map((text) => fits(happened, text)), [true, true, true, false], "a filter of events");
  same(matching([{ words: "Inbox" }, { words: "Change the model" }], "model the").map(({ words }) => words), ["Change the model"], "names by words");

  // Questions
  const question = { thread: "t", id: "choice.late", asked_at: 1 };
  prompts.took([question], 0);
  prompts.decided.value = { "t/choice.late": { text: "Yes (by you)", at: 2, prompt: question, order: Infinity } };
  prompts.took([question], 0);
  same([prompts.open.value.length, prompts.decided.value["t/choice.late"].text], [0, "Yes (by you)"], "a reading that began before an answer does not take it back");
  prompts.decided.value = { "t/choice.late": { text: "Yes (by you)", at: 2, prompt: question, order: 0 } };
  prompts.took([question], 0);
  same([prompts.open.value.length, Object.keys(prompts.decided.value)], [1, []], "a question that is asked again is open");
  prompts.took([], 0);

  same(argumentsOf({ kind: "consent", tool: "t", prompt: 'Allow t with {"a":"b"}?' }), { a: "b" }, "arguments in words");
  same(argumentsOf({ kind: "consent", tool: "t", prompt: "Allow t with {?" }), undefined, "words alone");
  same(hidden({ a: "x".repeat(5000), b: 1 }), 1000, "what is cut is counted");
  same([punycode("https://аpple.example/x"), punycode("https://apple.example/x")], ["xn--pple-43d.example", ""], "hosts");
  const nest = JSON.parse("[".repeat(10_000) + "]".repeat(10_000));
  same([deep(nest), deep({ a: [1, { b: 2 }] })], [true, false], "depth");
  source(nest);

  // States
  same(stateOf({ status: "idle", prompts: 1 }), "asks", "a question");
  same(stateOf({ status: "idle", problem: "x", prompts: 0 }), "stuck", "a problem");
  same(stateOf({ status: "waiting", problem: "x", prompts: 0, state: "waiting", reason: { kind: "timer" } }), "waits", "a problem of a row that tries again");
  const key = "model_authentication: invalid x-api-key";
  same(stateOf({ status: "waiting", problem: key, prompts: 0, state: "waiting", reason: { kind: "timer" } }), "stuck", "a row whose tries only people can end");
  same(stateOfThread({ status: "waiting", problem: key, explanation: { state: "waiting", reasons: [{ kind: "problem" }, { kind: "timer" }] } }), "stuck", "a thread whose tries only people can end");
  same(stateOf({ status: "waiting", prompts: 0, state: "running" }), "working", "work");
  same(stateOf({ status: "damaged", prompts: 3 }), "damaged", "damage");
  same(stateOfThread({ status: "waiting", explanation: { state: "waiting", reasons: [{ kind: "problem" }, { kind: "timer" }] } }), "waits", "a problem that tries again");
  same(stateOfThread({ status: "idle", explanation: { state: "idle", reasons: [{ kind: "problem" }] } }), "stuck", "a problem that waits for a person");
  return failures;
}
