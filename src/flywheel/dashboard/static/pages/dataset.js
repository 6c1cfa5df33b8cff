// One data set: its files, where it comes from, and what curation left out of it.
import { html } from "../lib/ui.js";
import { segments } from "../lib/api.js";
import { useApi } from "../lib/load.js";
import { bytes, number } from "../lib/words.js";
import { Files } from "../components/files.js";
import { Hash, RunLink, WorkloadLink } from "../components/links.js";
import { Facts, Page, Section } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { Time } from "../components/time.js";
import { Curation } from "./run/curation.js";

export default function Dataset({ params }) {
  const dataset = useApi(segments("api", "datasets", params.name));
  return html`<${Page} title=${params.name} trail=${[["Datasets", "/datasets"]]} about=${dataset.data && html`<span>${dataset.data.kind} part</span><span>${number(dataset.data.num_records)} records</span>`}>
    <${Loaded} of=${dataset} what="the data set">${(data) => html`<div class="stack">
      <div class="panel"><${Facts} of=${facts(data)} /></div>
      <${Section} id="files" title="Files"><${Files} of=${data.files ?? []} rows /></>
      ${data.curation && html`<${Section} id="curation" title="Curation" about="What its run used of the workload, what it left out, and why."><${Curation} told=${data.curation} /></>`}
    </div>`}</>
  </>`;
}

const facts = (each) => [
  ["Workload", each.workload_id && html`<${WorkloadLink} of=${each} />`],
  ["Run", each.runs?.length ? each.runs.map((id) => html`<${RunLink} id=${id} key=${id} /> `) : null],
  ["Namespace", each.namespace],
  ["Size", bytes(each.size_bytes)],
  ["Content hash", each.sha256 && html`<${Hash} of=${each.sha256} />`],
  ["Made", each.created_at && html`<${Time} at=${each.created_at} exact />`],
];
