// Candidates side by side on the same records: scores, paired differences, non-inferiority, verdicts.
import { html, useMemo } from "../../lib/ui.js";
import { number, percent, points, probability, span } from "../../lib/words.js";
import { Differences } from "../../charts/differences.js";
import { Intervals } from "../../charts/intervals.js";
import { Verdict } from "../../components/chip.js";
import { DataTable } from "../../components/table.js";
import { evaluations, systems } from "./reading.js";

export function Scores({ job, letters, chosen }) {
  const table = job.decision?.table;
  const rows = useMemo(() => [...systems(job)].sort((a, b) => b.value - a.value), [job]);
  const isChosen = (name) => (row) => row[name] === chosen;
  return html`<div class="stack">
    ${table && html`<p class="soft lead">${number(table.records)} records of ${number(table.conversations)} conversations, answered by every system; ${percent(table.level, 0)} intervals, seed ${String(table.seed)}.${leftOut(table)}</p>`}
    ${rows.length > 0 && html`<div class="beside">
      <${DataTable} caption="Scores of all systems" columns=${useScores(letters, table)} rows=${rows} rowKey=${(row) => row.name} chosen=${isChosen("name")} initialSort=${{ id: "score", desc: true }} />
      <div class="panel"><${Intervals} title="Scores with their intervals" systems=${rows} marks=${letters} chosen=${chosen} caption="Hollow: a base model; diamond: the teacher." /></div>
    </div>`}
    ${job.decision?.verdicts?.length > 0 && html`<div><h3>The verdict on each candidate</h3>
      <${DataTable} caption="The verdict on each candidate" columns=${verdictColumns} rows=${job.decision.verdicts} rowKey=${(row) => row.candidate} chosen=${isChosen("candidate")} /></div>`}
    ${table?.differences?.length > 0 && html`<div><h3>Paired differences</h3><p class="soft lead">Each pair on the same records; p values are adjusted by Holm over all that are shown.</p>
      <${DataTable} caption="Paired differences" columns=${useDifferences(letters)} rows=${table.differences} rowKey=${(row) => `${row.system} ${row.other}`} chosen=${isChosen("system")} /></div>`}
    ${Object.keys(table?.non_inferiority ?? {}).length > 0 && html`<${NonInferiority} table=${table} letters=${letters} chosen=${chosen} />`}
    <${AllScores} job=${job} letters=${letters} open=${!rows.length} />
  </div>`;
}
Scores.there = (job) => evaluations(job).some(([, each]) => Object.keys(each.scores ?? {}).length) || Boolean(job.decision?.table);

const leftOut = (table) => {
  const found = Object.entries(table.left_out ?? {});
  return found.length ? ` Left out for all: ${found.map(([reason, count]) => `${number(count)} (${reason})`).join(", ")}.` : "";
};

const named = (letters) => (name) => html`<span class="named"><span class="letter" aria-hidden="true">${letters[name] ?? ""}</span><span>${name}</span></span>`;

const useScores = (letters, table) => useMemo(() => [
  { id: "name", label: "System", head: true, value: (row) => row.name, show: (row) => named(letters)(row.name) },
  { id: "role", label: "Role", hide: "narrow", value: (row) => row.role },
  { id: "score", label: "Score", align: "n", value: (row) => row.value, show: (row) => percent(row.value) },
  { id: "interval", label: "Interval", align: "n", value: (row) => row.interval?.low, show: (row) => span(row.interval) },
  { id: "n", label: "n", align: "n", value: (row) => table?.records ?? row.n, show: (row) => number(table?.records ?? row.n) },
  ...(table ? [{ id: "missing", label: "Missing", align: "n", hide: "narrow", value: (row) => row.missing, show: (row) => number(row.missing) }] : []),
], [letters, table]);

const verdictColumns = [
  { id: "candidate", label: "Candidate", head: true, value: (row) => row.candidate },
  { id: "verdict", label: "Verdict", class: "text", value: (row) => row.text, show: (row) => html`<${Verdict} text=${row.text} />` },
  { id: "more", label: "More records", align: "n", value: (row) => row.more_records ?? undefined, show: (row) => number(row.more_records) },
];

const useDifferences = (letters) => useMemo(() => [
  { id: "system", label: "System", head: true, value: (row) => row.system, show: (row) => named(letters)(row.system) },
  { id: "other", label: "minus", value: (row) => row.other, show: (row) => named(letters)(row.other) },
  { id: "value", label: "Points", align: "n", value: (row) => row.value, show: (row) => points(row.value) },
  { id: "interval", label: "Interval", align: "n", value: (row) => row.interval?.low, show: (row) => span(row.interval, { signed: true }) },
  { id: "better", label: "Better : worse", align: "n", value: (row) => row.better, show: (row) => `${number(row.better)} : ${number(row.worse)}` },
  { id: "test", label: "Interval by", hide: "narrow", class: "line", value: (row) => row.interval?.method },
  { id: "p", label: "p", align: "n", value: (row) => row.p_value, show: (row) => probability(row.p_value) },
  { id: "holm", label: "p (Holm)", align: "n", value: (row) => row.p_holm, show: (row) => probability(row.p_holm) },
], [letters]);

function NonInferiority({ table, letters, chosen }) {
  const rows = useMemo(() => Object.entries(table.non_inferiority).map(([name, each]) => ({ name, value: each.difference, ...each })), [table]);
  return html`<div><h3>Non-inferiority to the teacher</h3>
    <p class="soft lead">${table.ceiling_measured ? "The ceiling was measured: the teacher was asked the same again." : "The ceiling was not measured: the teacher's log stands in, which always agrees with itself."} The margin is ${points(table.margin, { signed: false })} points: an interval wholly to the right of the dashed line passes.</p>
    <div class="beside">
      <${DataTable} caption="Non-inferiority to the teacher" columns=${inferiorColumns} rows=${rows} rowKey=${(row) => row.name} chosen=${(row) => row.name === chosen} />
      <div class="panel"><${Differences} title="Difference to the teacher" rows=${rows} marks=${letters} margin=${table.margin} /></div>
    </div></div>`;
}

const inferiorColumns = [
  { id: "name", label: "Candidate", head: true, value: (row) => row.name },
  { id: "points", label: "Points", align: "n", value: (row) => row.value, show: (row) => points(row.value) },
  { id: "interval", label: "Interval", align: "n", value: (row) => row.interval?.low, show: (row) => span(row.interval, { signed: true }) },
  { id: "passes", label: "Passes", class: "line", value: (row) => row.passes, show: (row) => (row.passes ? "yes" : "not shown") },
  { id: "discordant", label: "Discordant", align: "n", hide: "narrow", value: (row) => row.discordance, show: (row) => percent(row.discordance) },
  { id: "needed", label: "Records needed", align: "n", value: (row) => row.records_needed ?? undefined, show: (row) => number(row.records_needed) },
];

// Every score as the evaluator gave it, closed where the table above says what matters.
function AllScores({ job, letters, open }) {
  const rows = useMemo(() => evaluations(job).flatMap(([system, each]) => {
    const scores = Object.entries(each.scores ?? {});
    if (!scores.length) return [{ system, name: null, problem: each.error ?? each.status }];
    return scores.map(([name, value]) => ({ system, name, value, ...each.score_details?.[name], agreement: each.judge_agreement }));
  }), [job]);
  if (!rows.length) return null;
  return html`<details open=${open}><summary>All scores as the evaluator gave them</summary>
    <${DataTable} caption="All scores" columns=${useAll(letters)} rows=${rows} rowKey=${(row) => `${row.system} ${row.name}`} />
  </details>`;
}

const plainScore = (row) => row.name === "similarity" || row.value > 1;
const useAll = (letters) => useMemo(() => [
  { id: "system", label: "Evaluation", head: true, value: (row) => row.system, show: (row) => named(letters)(row.system) },
  { id: "name", label: "Score", value: (row) => row.name ?? row.problem, show: (row) => (row.name ? html`<code>${row.name}</code>` : row.problem) },
  { id: "value", label: "Value", align: "n", value: (row) => row.value, show: (row) => (row.name && (plainScore(row) ? number(row.value) : percent(row.value))) },
  { id: "interval", label: "Interval", align: "n", value: (row) => row.confidence_interval?.low, show: (row) => span(row.confidence_interval, { plain: plainScore(row) }) },
  { id: "n", label: "n", align: "n", value: (row) => row.n, show: (row) => number(row.n) },
  { id: "method", label: "Method", hide: "narrow", value: (row) => row.confidence_interval?.method },
  { id: "scorer", label: "Scorer", hide: "narrow", value: (row) => row.scorer },
  { id: "kappa", label: "Judge’s kappa", align: "n", hide: "narrow", title: "Agreement of the judge with the programmatic score", value: (row) => (row.scorer ? row.agreement?.kappa : undefined), show: (row) => (row.scorer ? number(row.agreement?.kappa) : undefined) },
], [letters]);
