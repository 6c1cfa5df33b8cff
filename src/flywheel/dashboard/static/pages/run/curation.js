// The curation report: what was used, what was left out and why, conflicts, leakage.
import { html } from "../../lib/ui.js";
import { number, percent, short } from "../../lib/words.js";
import { Facts } from "../../components/page.js";
import { DataTable } from "../../components/table.js";

export function Curation({ told }) {
  const { conversations: talks, conflicts, leakage } = told;
  const parts = Object.entries(told.parts).map(([name, part]) => ({ name, ...part }));
  return html`<div class="stack">
    ${told.warnings.map((warning) => html`<p class="panel notice" key=${warning}><strong>Warning:</strong> ${warning}</p>`)}
    <div class="panel"><${Facts} of=${[
      ["Records used", `${number(told.records_out)} of ${number(told.records_in)}`],
      ["Conversations", `${number(talks.total)}, ${number(talks.with_id)} told by their id`],
      ["Held out", `${number(talks.holdout)} conversations (${percent(told.holdout_share, 0)} by hash)`],
      ["Largest conversation", percent(talks.largest_share)],
      ["Conflicts", `${number(conflicts.requests)} requests, ${number(conflicts.records)} records (policy: ${conflicts.policy})`],
      ["Examples chosen by", told.icl_selection?.replaceAll("_", " ")],
    ]} /></div>
    <div class="beside">
      <div><h3>Parts</h3><${DataTable} caption="Parts of the data" columns=${partColumns} rows=${parts} rowKey=${(row) => row.name} /></div>
      <div><h3>Left out</h3><${DataTable} caption="Records that were left out" columns=${droppedColumns} rows=${told.dropped} rowKey=${(row) => row.reason} empty="Nothing was left out." /></div>
    </div>
    <div class="beside">
      <div><h3>Leakage into other parts</h3><${DataTable} caption="Requests of the evaluation that are also elsewhere" columns=${leakColumns} rows=${Object.keys(leakage.exact).map((part) => ({ part, exact: leakage.exact[part], near: leakage.near[part] }))} rowKey=${(row) => row.part} />
        <p class="soft small">Near: likeness from ${number(leakage.threshold)}; ${number(leakage.near_eval)} records of the evaluation are nearly repeated.</p></div>
      <div><h3>Calls by part</h3><${Calls} parts=${parts} /></div>
    </div>
  </div>`;
}

function Calls({ parts }) {
  const names = [...new Set(parts.flatMap((part) => Object.keys(part.calls ?? {})))];
  const columns = [
    { id: "name", label: "Tool", head: true, value: (row) => row || "(no call)" },
    ...parts.map((part) => ({ id: part.name, label: part.name, align: "n", value: (row) => part.calls?.[row] ?? 0, show: (row) => number(part.calls?.[row] ?? 0) })),
  ];
  return html`<${DataTable} caption="Records by the tool that is called" columns=${columns} rows=${names} rowKey=${(row) => row} empty="No calls." />`;
}

const tokens = (id, label) => ({ id, label, align: "n", hide: "narrow", value: (row) => row.tokens[id], show: (row) => number(row.tokens[id]) });
const partColumns = [
  { id: "name", label: "Part", head: true, value: (row) => row.name },
  { id: "records", label: "Records", align: "n", value: (row) => row.records, show: (row) => number(row.records) },
  { id: "talks", label: "Talks", title: "Conversations", align: "n", value: (row) => row.conversations, show: (row) => number(row.conversations) },
  { id: "total", label: "Tokens", title: "Estimated, of request and answer", align: "n", value: (row) => row.tokens.total, show: (row) => number(row.tokens.total) },
  tokens("mean", "mean"), tokens("p95", "p95"), tokens("max", "most"),
];
const droppedColumns = [
  { id: "why", label: "Because", class: "text", value: (row) => row.meaning },
  { id: "count", label: "Records", align: "n", value: (row) => row.count, show: (row) => number(row.count) },
  { id: "example", label: "For example", value: (row) => row.examples[0], show: (row) => html`<code title=${row.examples.join(", ")}>${short(row.examples[0], 16)}</code>` },
];
const leakColumns = [
  { id: "part", label: "Part", head: true, value: (row) => row.part },
  { id: "exact", label: "The same", align: "n", value: (row) => row.exact, show: (row) => number(row.exact) },
  { id: "near", label: "Nearly the same", align: "n", value: (row) => row.near, show: (row) => number(row.near) },
];
