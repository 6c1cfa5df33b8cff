// One model: what it is, what it was trained on, how it scored, and its files.
import { html } from "../lib/ui.js";
import { segments } from "../lib/api.js";
import { useApi } from "../lib/load.js";
import { bytes, number, percent, plain, span, stamp } from "../lib/words.js";
import { Chip } from "../components/chip.js";
import { Files } from "../components/files.js";
import { DatasetLink, Hash, ModelLink, RunLink, WorkloadLink } from "../components/links.js";
import { Facts, Page, Section } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { Served } from "./models.js";

export default function Model({ params }) {
  const model = useApi(segments("api", "models", params.name));
  return html`<${Page} title=${params.name} trail=${[["Models", "/models"]]} about=${model.data && html`<${Chip} word=${model.data.status ?? "unknown"} /><${Served} model=${model.data} /><span>${model.data.kind}</span>`}>
    <${Loaded} of=${model} what="the model">${(data) => html`<div class="stack">
      <div class="panel"><${Facts} of=${facts(data)} /></div>
      ${data.kind === "adapter" && html`<${Section} id="lineage" title="Lineage" about="From the adapter to the data set that it learned from, to the records that made that.">
        <${Lineage} of=${data} /></>`}
      ${Object.keys(data.scores ?? {}).length > 0 && html`<${Section} id="scores" title="Scores" about="What its own run measured on the holdout.">
        <${DataTable} caption="Scores" columns=${scores} rows=${Object.entries(data.scores)} rowKey=${([name]) => name} /></>`}
      ${data.deployments?.length > 0 && html`<${Section} id="deployments" title="Deployments">
        <${DataTable} caption="Deployments" columns=${deployments} rows=${data.deployments} rowKey=${(each) => each.name} /></>`}
      ${data.kind === "adapter" && html`<${Section} id="files" title="Files"><${Files} of=${data.files ?? []} /></>`}
    </div>`}</>
  </>`;
}

const facts = (model) => [
  ["Base model", model.base_model && html`<${ModelLink} name=${model.base_model} />`],
  ["Engine", model.engine],
  ["Context", model.context_length && `${number(model.context_length)} tokens`],
  ["Trained by runs", model.kind === "base" ? (model.customization_enabled ? "yes" : "no") : null],
  ["Size", model.size_bytes === null || model.size_bytes === undefined ? null : bytes(model.size_bytes)],
  ["Content hash", model.sha256 && html`<${Hash} of=${model.sha256} />`],
  ["Made", model.created_at && html`<${Time} at=${model.created_at} exact />`],
];

function Lineage({ of: model }) {
  const { lineage } = model;
  if (!lineage) return html`<p class="soft">Where it comes from is not known: its run was deleted, or it was brought here by hand.</p>`;
  const { dataset, records } = lineage;
  const steps = [
    ["Adapter", html`${model.name} <${Hash} of=${model.sha256} />`],
    ["Run", html`<${RunLink} id=${lineage.run_id} />`],
    ["Data set", dataset && html`<${DatasetLink} name=${dataset.name} /> <span class="soft">${number(dataset.num_records)} records</span> <${Hash} of=${dataset.sha256} />`],
    ["Records", records?.count ? html`${number(records.count)} of <${WorkloadLink} of=${lineage} />${records.first ? html` <span class="soft">${stamp(records.first).slice(0, 16)} to ${stamp(records.last).slice(0, 16)}</span>` : ""}` : html`<${WorkloadLink} of=${lineage} />`],
  ];
  return html`<ol class="lineage panel">${steps.filter(([, what]) => what).map(([name, what]) => html`<li key=${name}><span class="soft">${name}</span><span>${what}</span></li>`)}</ol>`;
}

const scores = [
  { id: "name", label: "Score", head: true, value: ([name]) => plain(name) },
  { id: "value", label: "Value", align: "n", value: ([, score]) => score.value, show: ([, score]) => shown(score.value) },
  { id: "interval", label: "95 % interval", align: "n", sortable: false, value: ([, score]) => score.low, show: ([, score]) => (score.value > 1 ? span(score, { plain: true }) : span(score)) },
  { id: "n", label: "Records", align: "n", value: ([, score]) => score.n, show: ([, score]) => number(score.n) },
];
const shown = (value) => (value > 1 ? number(value) : percent(value));

const deployments = [
  { id: "name", label: "Deployment", head: true, value: (each) => each.name },
  { id: "status", label: "State", class: "line", value: (each) => each.status, show: (each) => html`<${Chip} word=${each.status} />` },
];
