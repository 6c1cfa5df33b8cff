// How far a run is: each candidate's stage, and the losses as they grow.
import { html } from "../../lib/ui.js";
import { duration, number, plain } from "../../lib/words.js";
import { Losses } from "../../charts/losses.js";
import { Bar, Chip } from "../../components/chip.js";
import { DataTable } from "../../components/table.js";

export function Progress({ job, curves }) {
  const { progress } = job;
  const trouble = job.trouble ?? progress.candidates.map((each) => each.trouble).find(Boolean);
  return html`<div class="stack">
    <div class="panel"><div class="whole"><strong>${plain(progress.step)}</strong><${Bar} value=${progress.percent} label="Progress of the run" /></div>
      ${trouble && html`<p class="error" role="status">Tried again: ${trouble}</p>`}</div>
    ${progress.candidates.length > 0 && html`<${DataTable} caption="Progress of each candidate" columns=${columns} rows=${progress.candidates} rowKey=${(each) => each.model_name} />`}
    ${curves.length > 0 && html`<div class="panel"><${Losses} title="Loss, as it is drawn" curves=${curves} /></div>`}
  </div>`;
}

const evaluation = (type) => (each) => {
  const found = each.evaluations[type];
  if (!found) return undefined;
  return found.status === "running" ? html`<${Bar} value=${found.percent} label=${`${type} of ${each.model_name}`} />` : html`<${Chip} word=${found.status} />`;
};

const columns = [
  { id: "name", label: "Candidate", head: true, value: (each) => each.model_name, sortable: false },
  { id: "doing", label: "Does", class: "line", value: (each) => each.doing, sortable: false, show: (each) => html`${each.doing}${each.waits_for && html`<div class="soft small">waits: ${each.waits_for}</div>`}` },
  { id: "percent", label: "Done", class: "line", value: (each) => each.percent, sortable: false, show: (each) => html`<${Bar} value=${each.percent} label=${`Progress of ${each.model_name}`} />` },
  { id: "left", label: "Training left", align: "n", value: (each) => each.customization?.eta_seconds, sortable: false, show: (each) => duration(each.customization?.eta_seconds ?? undefined) },
  { id: "steps", label: "Step", align: "n", value: (each) => each.customization?.steps_completed, sortable: false, show: (each) => number(each.customization?.steps_completed) },
  { id: "loss", label: "Loss", align: "n", value: (each) => each.customization?.train_loss, sortable: false, show: (each) => number(each.customization?.train_loss) },
  { id: "base", label: "base-eval", class: "line", value: evaluation("base-eval"), sortable: false },
  { id: "icl", label: "icl-eval", class: "line", value: evaluation("icl-eval"), sortable: false },
  { id: "custom", label: "customized-eval", class: "line", value: evaluation("customized-eval"), sortable: false },
];
