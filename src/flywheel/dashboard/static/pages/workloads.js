// Workloads: what has been recorded, and how far students are.
import { html } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { number, percent, span } from "../lib/words.js";
import { Chip, Verdict } from "../components/chip.js";
import { Search, SelectField } from "../components/fields.js";
import { WorkloadLink } from "../components/links.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";

const LIMIT = 50;
const ORDERS = [["name", "name"], ["count", "most records"], ["last", "latest record"]];

export default function Workloads({ query }) {
  const search = query.get("search") ?? "";
  const sort = query.get("sort") || "name";
  const offset = Number(query.get("offset")) || 0;
  const workloads = useApi("/api/workloads", { search, sort, offset, limit: LIMIT });
  return html`<${Page} title="Workloads" about="One task of one application each: what the teacher was asked, and how far students have come.">
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${Search} label="Name" value=${search} onSearch=${(text) => setQuery({ search: text })} />
      <${SelectField} label="Order" value=${sort} options=${ORDERS} onChange=${(order) => setQuery({ sort: order === "name" ? "" : order })} />
    </form>
    <${Loaded} of=${workloads} what="workloads">${(data) => data.total === 0 && !search
      ? html`<${Empty} title="No records yet">Import a log with <code>flywheel records import logs.jsonl</code>, or post records to <code>/api/records</code>.</>`
      : html`<${DataTable} caption="Workloads" columns=${columns} rows=${data.workloads} rowKey=${(each) => JSON.stringify([each.client_id, each.workload_id])} empty="No workload has this name." />
        <${Pager} what="workloads" offset=${offset} limit=${LIMIT} total=${data.total} />`}</>
  </>`;
}

const columns = [
  { id: "workload", label: "Workload", head: true, value: (each) => each.workload_id, sortable: false, show: (each) => html`<${WorkloadLink} of=${each} />` },
  { id: "records", label: "Records", align: "n", value: (each) => each.count, sortable: false, show: (each) => number(each.count) },
  { id: "last", label: "Last record", align: "n", value: (each) => each.last, sortable: false, show: (each) => html`<${Time} at=${each.last} />` },
  { id: "run", label: "Last run", class: "line", value: (each) => each.last_run?.status, sortable: false, show: (each) => each.last_run && html`<a href=${to("/runs/:id", each.last_run)}><${Chip} word=${each.last_run.status} /></a> <span class="soft small"><${Time} at=${each.last_run.created_at} /></span>` },
  { id: "best", label: "Best student", hide: "narrow", value: (each) => each.best?.model_name, sortable: false, show: (each) => each.best && html`${each.best.model_name} <span class="soft">${each.best.eval_type}</span>` },
  { id: "score", label: "Score", align: "n", value: (each) => each.best?.value, sortable: false, show: (each) => each.best && html`<span title=${`${each.best.metric}, n = ${each.best.n}`}>${each.best.value > 1 ? number(each.best.value) : percent(each.best.value)}</span><div class="soft small">${span(each.best, { plain: each.best.value > 1 })}</div>` },
  { id: "verdict", label: "Verdict", value: (each) => each.best?.verdict, sortable: false, show: (each) => each.best && html`<${Verdict} text=${each.best.verdict} brief />` },
];
