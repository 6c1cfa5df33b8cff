// Runs: the newest first, kept up to date while they go on.
import { html, useCallback, useState } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { useLive } from "../lib/live.js";
import { to } from "../lib/routes.js";
import { DASH, duration, moment, percent, span } from "../lib/words.js";
import { Bar, Chip, Verdict } from "../components/chip.js";
import { SelectField } from "../components/fields.js";
import { WorkloadName } from "../components/links.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { WorkloadField } from "../components/workload.js";
import { StartRun } from "./start.js";

const PAGE = 50;
const STATUSES = ["pending", "running", "completed", "failed", "cancelled"];
export const OPEN = new Set(["pending", "running"]);

export default function Runs({ query }) {
  const [starting, setStarting] = useState(false);
  const offset = Number(query.get("offset")) || 0;
  const asked = Object.fromEntries(["status", "client_id", "workload_id"].map((name) => [name, query.get(name) ?? ""]));
  const runs = useApi("/api/jobs", { ...asked, limit: PAGE, offset });
  const live = useLive("/api/events", { run: useChanged(runs, asked, offset), gone: runs.reload }, runs.reload);
  const filtered = Object.values(asked).some(Boolean);
  return html`<${Page} title="Runs" about=${html`<span>One turn of the wheel each, the newest first.</span> <${LiveChip} state=${live} />`}
    actions=${html`<button type="button" class="button main" onClick=${() => setStarting(true)}>Start a run</button>`}>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${WorkloadField} label="Workload" value=${asked} onChange=${setQuery} search />
      <${SelectField} label="Status" value=${asked.status} onChange=${(status) => setQuery({ status })} options=${[["", "any"], ...STATUSES.map((each) => [each, each])]} />
    </form>
    <${Loaded} of=${runs} what="runs">${(data) => data.total === 0 && !filtered
      ? html`<${Empty} title="No runs yet">A run curates a workload's records, trains the candidates and measures them. Start one here or with <code>flywheel runs start</code>.</>`
      : html`<${DataTable} caption="Runs" columns=${columns} rows=${data.jobs} rowKey=${(run) => run.id} empty="No run fits these filters." />
        <${Pager} what="runs" offset=${offset} limit=${PAGE} total=${data.total} />`}</>
    ${starting && html`<${StartRun} workload=${asked} onClose=${() => setStarting(false)} />`}
  </>`;
}

// A changed run takes its place in the list; a new one, at the top of the first page.
function useChanged(runs, asked, offset) {
  const { put } = runs;
  const key = JSON.stringify(asked);
  return useCallback((changed) => put((data) => {
    const fits = Object.entries(asked).every(([name, value]) => !value || changed[name] === value);
    const at = data.jobs.findIndex((run) => run.id === changed.id);
    if (at >= 0) return { ...data, jobs: data.jobs.map((run, i) => (i === at ? changed : run)) };
    const newer = !data.jobs.length || String(changed.created_at) > String(data.jobs[0].created_at);
    if (offset || !fits || !newer) return data;
    return { ...data, jobs: [changed, ...data.jobs].slice(0, PAGE), total: data.total + 1 };
  }), [put, key, offset]);
}

export const LiveChip = ({ state }) => ["off", "ended"].includes(state) ? null
  : html`<${Chip} word=${state} label=${{ live: "live", polling: "looks every 5 s", connecting: "connecting" }[state]} title=${state === "polling" ? "The server's events cannot be had, so the page asks again and again." : "Changes are shown as they happen."} />`;

export const took = (run) => {
  const began = moment(run.started_at);
  return began ? ((moment(run.finished_at) ?? new Date()) - began) / 1000 : undefined;
};

const state = (run) => (run.cancel_requested && OPEN.has(run.status) ? "cancelling" : run.status);

const columns = [
  { id: "run", label: "Run", head: true, class: "line", value: (run) => run.id, sortable: false, show: (run) => html`<a class="mono" href=${to("/runs/:id", run)} title=${run.id}>${run.id.slice(-8)}</a>` },
  { id: "workload", label: "Workload", value: (run) => `${run.client_id}/${run.workload_id}`, sortable: false, show: (run) => html`<${WorkloadName} of=${run} />` },
  { id: "status", label: "Status", class: "line", value: (run) => run.status, sortable: false, show: (run) => html`<${Chip} word=${state(run)} title=${run.error ?? ""} />` },
  { id: "progress", label: "Progress", class: "line", value: (run) => run.percent, sortable: false, show: (run) => (OPEN.has(run.status) ? html`<${Bar} value=${run.percent ?? 0} label=${`Progress of run ${run.id}`} /> <span class="soft">${run.step}</span>` : DASH) },
  { id: "best", label: "Best student", hide: "narrow", value: (run) => run.decision?.model_name, sortable: false, show: (run) => run.decision && html`${run.decision.model_name} <span class="soft">${run.decision.eval_type}</span>` },
  { id: "score", label: "Score", align: "n", value: (run) => run.decision?.value, sortable: false, show: (run) => run.decision && html`<span title=${`${run.decision.metric}, n = ${run.decision.n ?? DASH}`}>${percent(run.decision.value)}</span><div class="soft small">${span(run.decision)}</div>` },
  { id: "verdict", label: "Verdict", value: (run) => run.decision?.verdict, sortable: false, show: (run) => run.decision && html`<${Verdict} text=${run.decision.verdict} brief />` },
  { id: "by", label: "Started by", hide: "narrow", value: (run) => run.trigger?.schedule, sortable: false, show: (run) => (run.trigger ? html`<span title=${run.trigger.reason}>${run.trigger.schedule ?? "a schedule"}</span>` : html`<span class="soft">by hand</span>`) },
  { id: "started", label: "Started", align: "n", value: (run) => run.created_at, sortable: false, show: (run) => html`<${Time} at=${run.created_at} />` },
  { id: "took", label: "Took", align: "n", hide: "narrow", value: took, sortable: false, show: (run) => duration(took(run)) },
];
