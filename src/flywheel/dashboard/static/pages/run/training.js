// Trainings with their losses, the artefacts, and the lineage from an adapter to its records.
import { html } from "../../lib/ui.js";
import { address, segments } from "../../lib/api.js";
import { to } from "../../lib/routes.js";
import { duration, number, short } from "../../lib/words.js";
import { Losses } from "../../charts/losses.js";
import { Chip } from "../../components/chip.js";
import { WorkloadLink } from "../../components/links.js";
import { DataTable } from "../../components/table.js";

export function Training({ job, curves }) {
  const rows = job.nims.flatMap((nim) => (nim.customizations.length ? nim.customizations : [null]).map((training) => ({ nim, training })));
  const adapters = rows.filter((row) => row.training?.status === "completed");
  return html`<div class="stack">
    <div class=${curves.length ? "beside" : ""}>
      <${DataTable} caption="Trainings" columns=${trainingColumns} rows=${rows} rowKey=${(row) => row.nim.model_name} />
      ${curves.length > 0 && html`<div class="panel"><${Losses} title="Losses" curves=${curves} /></div>`}
    </div>
    ${adapters.length > 0 && html`<div><h3>Lineage</h3>${adapters.map((row) => html`<${Lineage} key=${row.nim.model_name} job=${job} model=${row.nim.model_name} adapter=${row.training.customized_model} />`)}</div>`}
    ${job.status === "completed" && html`<div><h3>Downloads</h3><ul class="group">${DOWNLOADS.map(([label, what, format]) => html`<li key=${label}><a class="button" download href=${address(`${segments("api", "jobs", job.id)}/export`, { what, format })}>${label}</a></li>`)}</ul></div>`}
    ${job.datasets.length > 0 && html`<div><h3>Data sets</h3><${DataTable} caption="Data sets of this run" columns=${datasetColumns} rows=${job.datasets} rowKey=${(row) => row.name} /></div>`}
  </div>`;
}

const DOWNLOADS = [
  ["Scores, CSV", "scores", "csv"], ["Samples, CSV", "samples", "csv"], ["Samples, JSON lines", "samples", "jsonl"],
];

// adapter ← base model and training data ← the workload's records.
function Lineage({ job, model, adapter }) {
  const train = job.datasets.find((each) => each.kind === "train");
  const steps = [
    ["Adapter", html`<a class="mono" href=${to("/models/:name", { name: adapter })}>${adapter}</a>`],
    ["trained from", html`<a href=${to("/models/:name", { name: model })}>${model}</a>`],
    train && ["on", html`<a class="mono" href=${to("/datasets/:name", train)}>${train.name}</a> <span class="soft">${number(train.num_records)} records, sha256 ${short(train.sha256, 12)}</span>`],
    ["of", html`<${WorkloadLink} of=${job} /> <span class="soft">${job.curation ? `${number(job.curation.records_in)} records` : ""}</span>`],
  ].filter(Boolean);
  return html`<ol class="panel lineage">${steps.map(([what, thing]) => html`<li key=${what}><span class="soft">${what}</span><span>${thing}</span></li>`)}</ol>`;
}

const trainingColumns = [
  { id: "name", label: "Candidate", head: true, value: (row) => row.nim.model_name },
  { id: "status", label: "Training", value: (row) => row.training?.status, show: (row) => (row.training ? html`<${Chip} word=${row.training.status} />${row.training.error && html`<div class="error">${row.training.error}</div>`}` : html`<span class="soft">${row.nim.error ?? "was not trained"}</span>`) },
  { id: "epochs", label: "Epochs", align: "n", value: (row) => row.training?.epochs_completed, show: (row) => number(row.training?.epochs_completed) },
  { id: "steps", label: "Steps", align: "n", value: (row) => row.training?.steps_completed, show: (row) => number(row.training?.steps_completed) },
  { id: "train", label: "Training loss", align: "n", value: (row) => row.training?.train_loss ?? undefined, show: (row) => number(row.training?.train_loss) },
  { id: "val", label: "Validation loss", align: "n", value: (row) => row.training?.val_loss ?? undefined, show: (row) => number(row.training?.val_loss) },
  { id: "time", label: "Time", align: "n", value: (row) => row.training?.runtime_seconds, show: (row) => duration(row.training?.runtime_seconds) },
];
const datasetColumns = [
  { id: "name", label: "Data set", head: true, value: (row) => row.name, show: (row) => html`<a class="mono" href=${to("/datasets/:name", row)}>${row.name}</a>` },
  { id: "kind", label: "Kind", value: (row) => row.kind },
  { id: "records", label: "Records", align: "n", value: (row) => row.num_records, show: (row) => number(row.num_records) },
  { id: "files", label: "Files", hide: "narrow", value: (row) => Object.keys(row.files ?? {}).join(", ") },
  { id: "sha256", label: "sha256", value: (row) => row.sha256, sortable: false, show: (row) => html`<code title=${row.sha256}>${short(row.sha256, 12)}</code>` },
];
