// Compare: the scores of any evaluations across runs, over time and side by side.
import { html, useMemo } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { milliseconds, moment, number, percent, plain, short, span } from "../lib/words.js";
import { SelectField, TextField } from "../components/fields.js";
import { RunLink, WorkloadLink } from "../components/links.js";
import { Page, Section } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { WorkloadField } from "../components/workload.js";
import { Times } from "../charts/times.js";

const LIMIT = 200;
const TYPES = ["base-eval", "icl-eval", "customized-eval", "teacher-eval"];
const FIRST = ["function_name_and_args_accuracy", "similarity", "json_match", "function_name"];
const FILTERS = ["client_id", "workload_id", "model_name", "eval_type"];

export default function Compare({ query }) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const offset = Number(query.get("offset")) || 0;
  const evaluations = useApi("/api/evaluations", { ...asked, offset, limit: LIMIT });
  return html`<${Page} title="Compare" about="Evaluations across runs: a workload's scores over time, or one model's on several workloads.">
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${WorkloadField} label="Workload" value=${asked} onChange=${setQuery} search />
      <${TextField} label="Candidate" value=${asked.model_name} placeholder="any" onInput=${(name) => setQuery({ model_name: name })} />
      <${SelectField} label="Evaluation" value=${asked.eval_type} options=${[["", "any"], ...TYPES.map((each) => [each, each])]} onChange=${(type) => setQuery({ eval_type: type })} />
    </form>
    <${Loaded} of=${evaluations} what="evaluations">${(data) => data.total === 0
      ? html`<${Empty} title="No evaluations">Nothing that fits these filters has been measured.</>`
      : html`<${Measured} of=${data.evaluations} query=${query} />
        <${Pager} what="evaluations" offset=${offset} limit=${LIMIT} total=${data.total} />`}</>
  </>`;
}

function Measured({ of, query }) {
  const metrics = useMemo(() => counted(of), [of]);
  const metric = metrics.includes(query.get("metric")) ? query.get("metric") : metrics[0];
  const rows = useMemo(() => of.filter((each) => each.scores?.[metric]), [of, metric]);
  const series = useMemo(() => systems(rows, metric), [rows, metric]);
  const columns = useMemo(() => made(metric), [metric]);
  if (!metric) return html`<${Empty} title="No scores yet">These evaluations have not ended.</>`;
  const share = rows.every((each) => each.scores[metric].value <= 1);
  return html`<div class="stack">
    <div class="filters"><${SelectField} label="Score" value=${metric} options=${metrics.map((name) => [name, plain(name)])} onChange=${(name) => setQuery({ metric: name }, { replace: true })} /></div>
    <${Section} id="times" title="Over time" about="Evaluations of other records are not the same exam: compare those with the same evaluation set, or by their intervals.">
      <div class="panel"><${Times} title=${`${plain(metric)} over time`} series=${series} share=${share} /></div></>
    <${Section} id="all" title="Side by side"><${DataTable} caption="Evaluations" columns=${columns} rows=${rows} rowKey=${(each) => `${each.run_id} ${each.model_name} ${each.eval_type}`} /></>
  </div>`;
}

// The scores that there are, the one that decides first, then the most frequent.
function counted(evaluations) {
  const found = new Map();
  for (const each of evaluations) for (const name of Object.keys(each.scores ?? {})) found.set(name, (found.get(name) ?? 0) + 1);
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...found.keys()].sort((a, b) => rank(a) - rank(b) || found.get(b) - found.get(a));
}

// One line per candidate, kind of evaluation and workload; those with the most points first.
function systems(rows, metric) {
  const several = new Set(rows.map((each) => `${each.client_id}/${each.workload_id}`)).size > 1;
  const found = new Map();
  for (const each of rows) {
    const at = moment(each.finished_at);
    if (!at) continue;
    const name = `${each.model_name} ${each.eval_type}${several ? `, ${each.workload_id}` : ""}`;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ at, ...each.scores[metric] });
  }
  return [...found].map(([name, points]) => ({ name, points: points.sort((a, b) => a.at - b.at) })).sort((a, b) => b.points.length - a.points.length);
}

const made = (metric) => [
  { id: "run", label: "Run", head: true, class: "line", sortable: false, value: (each) => each.run_id, show: (each) => html`<${RunLink} id=${each.run_id} />` },
  { id: "workload", label: "Workload", class: "line", value: (each) => `${each.client_id}/${each.workload_id}`, show: (each) => html`<${WorkloadLink} of=${each} />` },
  { id: "candidate", label: "Candidate", class: "line", value: (each) => each.model_name },
  { id: "type", label: "Evaluation", class: "line", value: (each) => each.eval_type },
  { id: "score", label: plain(metric), align: "n", value: (each) => each.scores[metric].value, show: (each) => (each.scores[metric].value > 1 ? number(each.scores[metric].value) : percent(each.scores[metric].value)) },
  { id: "interval", label: "95 % interval", align: "n", sortable: false, value: (each) => each.scores[metric].low, show: (each) => span(each.scores[metric], { plain: each.scores[metric].value > 1 }) },
  { id: "n", label: "n", align: "n", value: (each) => each.scores[metric].n, show: (each) => number(each.scores[metric].n) },
  { id: "latency", label: "Mean latency", align: "n", hide: "narrow", value: (each) => each.latency_ms?.mean, show: (each) => milliseconds(each.latency_ms?.mean) },
  { id: "cost", label: "Cost of 1,000", align: "n", hide: "narrow", value: (each) => each.cost_per_1000 ?? undefined, show: (each) => number(each.cost_per_1000) },
  { id: "set", label: "Evaluation set", title: "By its content hash: the same one is the same exam", class: "line", hide: "narrow", value: (each) => each.dataset?.sha256, show: (each) => each.dataset && html`<a class="mono" href=${to("/datasets/:name", each.dataset)} title=${each.dataset.name}>${short(each.dataset.sha256)}</a>` },
  { id: "ended", label: "Ended", align: "n", value: (each) => each.finished_at, show: (each) => html`<${Time} at=${each.finished_at} />` },
];
