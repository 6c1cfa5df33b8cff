// Latency, tokens and cost of each system.
import { html, useMemo } from "../../lib/ui.js";
import { milliseconds, number } from "../../lib/words.js";
import { Speeds as Plot } from "../../charts/speeds.js";
import { DataTable } from "../../components/table.js";
import { speeds } from "./reading.js";

export function Speeds({ job, letters, chosen }) {
  const rows = useMemo(() => speeds(job, letters), [job]);
  const cost = job.decision?.cost;
  const timed = useMemo(() => rows.filter((each) => each.latency.p50 !== undefined && each.latency.p95 !== undefined).map((each) => ({ ...each, p50: each.latency.p50, p95: each.latency.p95 })), [rows]);
  return html`<div class="stack">
    <p class="soft lead">${cost ? html`Money is in the currency of the price table, for ${number(cost.per_requests)} requests; the teacher costs ${number(cost.teacher)}.` : html`No prices are configured (<code>pricing</code>), so cost is not told.`}</p>
    <div class="beside">
      <${DataTable} caption="Latency and cost" columns=${columns} rows=${rows} rowKey=${(row) => row.name} chosen=${(row) => row.name === chosen} />
      ${timed.length > 0 && html`<div class="panel"><${Plot} title=${cost ? "Latency against cost" : "Latency"} rows=${timed} per=${cost?.per_requests} caption="The letters are those of the table." /></div>`}
    </div></div>`;
}
Speeds.there = (job) => Object.values(job.nims ?? []).some((nim) => nim.evaluations.some((each) => each.latency_ms));

const time = (id, label, value, hide) => ({ id, label, align: "n", hide, value, show: (row) => milliseconds(value(row)) });
const columns = [
  { id: "name", label: "System", head: true, value: (row) => row.name, show: (row) => html`<span class="named"><span class="letter" aria-hidden="true">${row.mark}</span><span>${row.name}</span></span>` },
  time("p50", "Median", (row) => row.latency.p50),
  time("p95", "p95", (row) => row.latency.p95),
  time("first", "First token", (row) => row.latency.first_token?.p50, "narrow"),
  { id: "in", label: "Tokens in", align: "n", hide: "narrow", value: (row) => row.usage.prompt_tokens, show: (row) => number(row.usage.prompt_tokens) },
  { id: "out", label: "Tokens out", align: "n", hide: "narrow", value: (row) => row.usage.completion_tokens, show: (row) => number(row.usage.completion_tokens) },
  { id: "cost", label: "Cost", align: "n", value: (row) => row.cost ?? undefined, show: (row) => number(row.cost) },
];
