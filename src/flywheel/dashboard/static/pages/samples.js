// The records of a run's evaluation, each with what every system made of it; filtered, and stepped through by keys.
import { html, useMemo, useRef } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { segments } from "../lib/api.js";
import { useKeys } from "../lib/keys.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { brief, number, plain } from "../lib/words.js";
import { Breakable } from "../components/breakable.js";
import { Search, SelectField } from "../components/fields.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Right } from "./sample/right.js";

const LIMIT = 50;
export const FILTERS = ["tool", "failure", "of", "right", "wrong", "search"];
export const filtersOf = (query) => Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));

export default function Samples({ params, query }) {
  const asked = filtersOf(query);
  const offset = Number(query.get("offset")) || 0;
  const samples = useApi(segments("api", "jobs", params.id, "compared"), { ...asked, offset, limit: LIMIT });
  return html`<${Page} title="Samples" name=${`Samples of run ${params.id.slice(-8)}`} trail=${[["Runs", "/runs"], [params.id.slice(-8), to("/runs/:id", params)]]}
    about=${samples.data && html`<span>Right or wrong by <code>${samples.data.metric ?? "no score yet"}</code></span>`}>
    <${Filters} asked=${asked} data=${samples.data} />
    <${Loaded} of=${samples} what="the samples (the first time they are read, which takes a moment)">${(data) => html`<${List} data=${data} id=${params.id} asked=${asked} offset=${offset} />`}</>
  </>`;
}

function Filters({ asked, data }) {
  const systems = (data?.systems ?? []).map((each) => [each.name, each.name]);
  const counted = (list, value) => [["", "any"], ...withChosen((list ?? []).map((each) => [each.name, `${plain(each.name)} (${number(each.n)})`]), value)];
  const system = (value) => [["", "any"], ...withChosen(systems, value)];
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <${Search} label="Text" value=${asked.search} onSearch=${(search) => setQuery({ search })} />
    <${SelectField} label="Tool of the teacher" value=${asked.tool} onChange=${(tool) => setQuery({ tool })} options=${counted(data?.tools, asked.tool)} />
    <${SelectField} label="Right" value=${asked.right} onChange=${(right) => setQuery({ right })} options=${system(asked.right)} />
    <${SelectField} label="Wrong" value=${asked.wrong} onChange=${(wrong) => setQuery({ wrong })} options=${system(asked.wrong)} />
    <${SelectField} label="Failure class" value=${asked.failure} onChange=${(failure) => setQuery({ failure })} options=${counted(data?.failures, asked.failure)} />
    <${SelectField} label="Failure of" value=${asked.of} onChange=${(of) => setQuery({ of })} options=${system(asked.of)} />
    ${Object.values(asked).some(Boolean) && html`<button type="button" class="button" onClick=${() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Show all</button>`}
  </form>`;
}

const withChosen = (options, value) => (value && !options.some(([each]) => each === value) ? [...options, [value, value]] : options);

function List({ data, id, asked, offset }) {
  const box = useRef(null);
  const step = (by) => {
    const links = [...box.current.querySelectorAll("tbody a")];
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  };
  useKeys({
    j: { label: "Next sample", run: () => step(1) },
    ArrowDown: { label: "Next sample", run: () => step(1) },
    k: { label: "Previous sample", run: () => step(-1) },
    ArrowUp: { label: "Previous sample", run: () => step(-1) },
  });
  const columns = useColumns(data.systems, id, JSON.stringify(asked));
  const problems = data.systems.filter((each) => each.problem);
  if (!data.systems.length) return html`<${Empty} title="Nothing was measured yet">Samples appear when the first evaluation of the run is completed. <a href=${to("/runs/:id", { id })}>See the run</a></>`;
  return html`<div ref=${box} class="stack samples">
    ${problems.map((each) => html`<p class="panel notice" key=${each.name}>Nothing is known of the samples of ${each.name}: ${each.problem}</p>`)}
    <${DataTable} caption="Samples" columns=${columns} rows=${data.rows} rowKey=${(row) => row.key} empty="No sample fits these filters." />
    <${Pager} what="samples" offset=${offset} limit=${LIMIT} total=${data.total} />
  </div>`;
}

const useColumns = (systems, id, asked) => useMemo(() => [
  { id: "index", label: "#", align: "n", sortable: false, value: (row) => row.index, show: (row) => number(row.index + 1) },
  { id: "question", label: "Question", head: true, class: "text", sortable: false, value: (row) => row.question,
    show: (row) => html`<a href=${to("/runs/:id/samples/:key", { id, key: row.key }, JSON.parse(asked))}>${brief(row.question) || "(no question)"}</a><div class="soft small answer">${row.bad_reference ? html`reference left out: ${row.bad_reference}` : brief(row.reference)}</div>` },
  { id: "tool", label: "Tool", hide: "narrow", sortable: false, value: (row) => row.tool, show: (row) => html`<code>${row.tool}</code>` },
  ...systems.map((system) => ({ id: system.name, class: "system", sortable: false, title: system.name, label: html`<span><${Breakable} name=${system.model_name} /><br /><${Breakable} name=${system.eval_type} /></span>`, value: (row) => row.results[system.name]?.score,
    show: (row) => html`<${Right} of=${row.results[system.name]} />` })),
], [systems, id, asked]);
