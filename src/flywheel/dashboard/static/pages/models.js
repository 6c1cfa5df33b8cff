// Models: the candidates of the configuration, and every adapter that was trained of them.
import { html } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { Chip } from "../components/chip.js";
import { Search, SelectField } from "../components/fields.js";
import { Hash, ModelLink, RunLink, WorkloadLink } from "../components/links.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";

const LIMIT = 50;
const KINDS = [["", "any"], ["base", "base models"], ["adapter", "adapters"]];

export default function Models({ query }) {
  const search = query.get("search") ?? "";
  const kind = query.get("kind") ?? "";
  const offset = Number(query.get("offset")) || 0;
  const models = useApi("/api/models", { search, kind, offset, limit: LIMIT });
  return html`<${Page} title="Models" about="Base models and the adapters that runs have trained of them: where they come from, and where they answer.">
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <${Search} label="Name" value=${search} onSearch=${(text) => setQuery({ search: text })} />
      <${SelectField} label="Kind" value=${kind} options=${KINDS} onChange=${(chosen) => setQuery({ kind: chosen })} />
    </form>
    <${Loaded} of=${models} what="models">${(data) => html`
      <${DataTable} caption="Models" columns=${columns} rows=${data.models} rowKey=${(model) => model.name} empty="No model fits these filters." />
      <${Pager} what="models" offset=${offset} limit=${LIMIT} total=${data.total} />`}</>
  </>`;
}

// Where a model answers, in one word: its proxy lists it, a deployment is on its way, or nothing is.
export function Served({ model }) {
  if (model.served) return html`<${Chip} word="served" />`;
  const [first] = model.deployments ?? [];
  return first ? html`<${Chip} word=${first.status} title=${first.name} />` : html`<span class="soft">not deployed</span>`;
}

const columns = [
  { id: "name", label: "Name", head: true, class: "text", value: (model) => model.name, sortable: false, show: (model) => html`<${ModelLink} name=${model.name} />` },
  { id: "kind", label: "Kind", class: "line", value: (model) => model.kind, sortable: false },
  { id: "state", label: "State", class: "line", value: (model) => model.status, sortable: false, show: (model) => html`<${Chip} word=${model.status ?? "unknown"} />` },
  { id: "served", label: "Deployed", class: "line", value: (model) => model.served, sortable: false, show: (model) => html`<${Served} model=${model} />` },
  { id: "base", label: "Base model", hide: "narrow", value: (model) => model.base_model, sortable: false, show: (model) => html`<${ModelLink} name=${model.base_model} />` },
  { id: "workload", label: "Workload", hide: "narrow", value: (model) => model.lineage?.workload_id, sortable: false, show: (model) => html`<${WorkloadLink} of=${model.lineage} />` },
  { id: "run", label: "Run", class: "line", value: (model) => model.lineage?.run_id, sortable: false, show: (model) => html`<${RunLink} id=${model.lineage?.run_id} />` },
  { id: "hash", label: "Hash", class: "line", hide: "narrow", value: (model) => model.sha256, sortable: false, show: (model) => html`<${Hash} of=${model.sha256} />` },
  { id: "made", label: "Made", align: "n", value: (model) => model.created_at, sortable: false, show: (model) => html`<${Time} at=${model.created_at} />` },
];
