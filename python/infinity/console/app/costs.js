// What was spent: by day, by model and by conversation.
import { html, useEffect, useState } from "./lib.js";
import { get, path } from "./api.js";
import { thread as address } from "./router.js";
import { count, dollars, line, tokens } from "./text.js";

const DAY = 86_400_000;
const NAMED = 20;
const SPANS = { 7: "7 days", 30: "30 days", 90: "90 days" };

export default function Costs() {
  const [days, setDays] = useState(30);
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState("");
  useEffect(() => {
    // Whole days in UTC, as they are counted.
    const from = (Math.floor(Date.now() / DAY) - days + 1) * DAY;
    const first = new Date(from).toISOString().slice(0, 10);
    const of = (by) => get(`/v1/usage?from=${first}&by=${by}&limit=1000`).then((answer) => answer.usage);
    const read = async () => {
      const byDay = await of("day");
      const [byModel, byRoot] = await Promise.all([of("model"), of("root")]);
      return { from, byDay, byModel, byRoot: await named(byRoot) };
    };
    read().then(
      (figures) => (setFound(figures), setFailed("")),
      (error) => setFailed([404, 405].includes(error.status) ? "This daemon keeps no figures by day yet. Each thread shows what it has spent." : error.message),
    );
  }, [days]);
  return html`<div class="page costs"><header class="head"><h1>Costs</h1><span class="spring"></span><div class="chips" role="group" aria-label="How far back">${Object.entries(SPANS).map(([number, words]) => html`<button key=${number} class="chip" aria-pressed=${days === Number(number) ? "true" : "false"} onClick=${() => setDays(Number(number))}>${words}</button>`)}</div></header>
    ${failed && html`<p class="muted" role="status">${failed}</p>`}${found && html`<${Figures} found=${found} days=${days} />`}</div>`;
}

/** The conversations that have cost most, with their titles. */
async function named(rows) {
  const most = sorted(rows).slice(0, NAMED);
  const found = await Promise.allSettled(most.map((row) => (row.root ? get(path("threads", row.root)) : null)));
  return most.map((row, index) => ({ ...row, title: found[index].value?.title || found[index].value?.opening }));
}

function sorted(rows) {
  return [...rows].sort((one, other) => other.cost - one.cost || all(other) - all(one));
}

function all({ tokens: used }) {
  return used.input + used.output + used.cache_read + used.cache_write;
}

function Figures({ found: { from, byDay, byModel, byRoot }, days }) {
  const total = byDay.reduce((sum, row) => sum + row.cost, 0);
  const used = byDay.reduce((sum, row) => sum + all(row), 0);
  const money = total > 0;
  const size = (row) => (money ? row.cost : all(row));
  const rows = new Map(byDay.map((row) => [Date.parse(row.day) / DAY, row]));
  const bars = Array.from({ length: days }, (_, index) => ({ day: from + index * DAY, row: rows.get(from / DAY + index) }));
  const largest = Math.max(...bars.map(({ row }) => (row ? size(row) : 0)), 1e-9);
  const words = (row) => (row ? [dollars(row.cost), tokens(all(row)), `${count(row.turns)} turns`].filter(Boolean).join(", ") : "nothing");
  const date = (day) => new Date(day).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  if (!used) return html`<div class="empty"><p>Nothing was spent in this time.</p></div>`;
  return html`<p class="sum"><strong>${dollars(total) || tokens(used)}</strong>${money && html` <span class="muted">${tokens(used)}</span>`}</p>
    <div class="bars" role="img" aria-label=${`By day, in UTC: ${bars.filter(({ row }) => row).map(({ day, row }) => `${date(day)} ${words(row)}`).join("; ")}`}>${bars.map(({ day, row }) => html`<div class="bar-of" key=${day} title=${`${date(day)}: ${words(row)}`}><span style=${{ height: `${row ? Math.max(2, (100 * size(row)) / largest) : 0}%` }}></span></div>`)}</div>
    <p class="muted axis"><span>${date(bars[0].day)}</span><span>days are UTC</span><span>${date(bars[bars.length - 1].day)}</span></p>
    <${Table} title="Models" rows=${byModel} name=${(row) => line(row.model, 60)} /><${Table} title="Conversations" rows=${byRoot} name=${(row) => (row.root ? html`<a href=${address(row.root)}>${line(row.title, 80) || row.root}</a>` : "deleted conversations")} />`;
}

function Table({ title, rows, name }) {
  return html`<section><h2>${title}</h2><div class="wide" tabindex="0" role="region" aria-label=${title}><table><thead><tr><th scope="col">${title.slice(0, -1)}</th><th scope="col">Cost</th><th scope="col">Tokens</th><th scope="col">From cache</th><th scope="col">Turns</th></tr></thead>
    <tbody>${sorted(rows).slice(0, 100).map((row, index) => html`<tr key=${index}><td>${name(row)}</td><td>${dollars(row.cost) || "–"}</td><td>${tokens(all(row)).replace(" tokens", "")}</td><td>${share(row)}</td><td>${count(row.turns)}</td></tr>`)}</tbody></table></div></section>`;
}

function share(row) {
  const used = row.tokens;
  const read = used.input + used.cache_read + used.cache_write;
  return read ? `${Math.round((100 * used.cache_read) / read)} %` : "";
}
