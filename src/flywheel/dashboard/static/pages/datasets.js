// Data sets: what runs were trained and measured on.
import { html } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { number } from "../lib/words.js";
import { Search } from "../components/fields.js";
import { DatasetLink, Hash, RunLink, WorkloadLink } from "../components/links.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { WorkloadField } from "../components/workload.js";

const LIMIT = 50;

export default function Datasets({ query }) {
  const asked = Object.fromEntries(["client_id", "workload_id", "search"].map((name) => [name, query.get(name) ?? ""]));
  const offset = Number(query.get("offset")) || 0;
  const datasets = useApi("/api/datasets", { ...asked, offset, limit: LIMIT });
  const filtered = Object.values(asked).some(Boolean);
  return html`<${Page} title="Datasets" about="Immutable sets of records, one each for evaluation, in-context examples and training of every run.">
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${WorkloadField} label="Workload" value=${asked} onChange=${setQuery} />
      <${Search} label="Name" value=${asked.search} onSearch=${(search) => setQuery({ search })} />
    </form>
    <${Loaded} of=${datasets} what="data sets">${(data) => data.total === 0 && !filtered
      ? html`<${Empty} title="No data sets yet">Every run makes them of a workload's records.</>`
      : html`<${DataTable} caption="Datasets" columns=${columns} rows=${data.datasets} rowKey=${(each) => each.name} empty="No data set fits these filters." />
        <${Pager} what="data sets" offset=${offset} limit=${LIMIT} total=${data.total} />`}</>
  </>`;
}

const columns = [
  { id: "name", label: "Name", head: true, class: "text", value: (each) => each.name, sortable: false, show: (each) => html`<${DatasetLink} name=${each.name} />` },
  { id: "kind", label: "Part", class: "line", value: (each) => each.kind, sortable: false },
  { id: "records", label: "Records", align: "n", value: (each) => each.num_records, sortable: false, show: (each) => number(each.num_records) },
  { id: "workload", label: "Workload", value: (each) => each.workload_id, sortable: false, show: (each) => html`<${WorkloadLink} of=${each} />` },
  { id: "run", label: "Run", class: "line", value: (each) => each.runs?.[0], sortable: false, show: (each) => (each.runs ?? []).map((id) => html`<${RunLink} id=${id} key=${id} /> `) },
  { id: "hash", label: "Hash", class: "line", hide: "narrow", value: (each) => each.sha256, sortable: false, show: (each) => html`<${Hash} of=${each.sha256} />` },
  { id: "made", label: "Made", align: "n", value: (each) => each.created_at, sortable: false, show: (each) => html`<${Time} at=${each.created_at} />` },
];
