// The last lines that the run, its trainings and its deployments wrote; asked for when the part is opened.
import { html, useState } from "../../lib/ui.js";
import { useApi } from "../../lib/load.js";
import { SelectField } from "../../components/fields.js";
import { Empty, Loaded } from "../../components/states.js";

const SOURCES = [["run", "the run"], ["customization", "trainings"], ["deployment", "deployments"]];

export function Logs({ job, path }) {
  const [open, setOpen] = useState(false);
  const [source, setSource] = useState("run");
  const [candidate, setCandidate] = useState("");
  const logs = useApi(open ? `${path}/logs` : null, { source, candidate, tail: 200 });
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>The last 200 lines</summary>
    ${open && html`<div class="stack">
      <div class="filters">
        <${SelectField} label="Of" value=${source} onChange=${setSource} options=${SOURCES} />
        <${SelectField} label="Candidate" value=${candidate} onChange=${setCandidate} options=${[["", "any"], ...job.nims.map((nim) => [nim.model_name, nim.model_name])]} />
        <button type="button" class="button" onClick=${logs.reload}>Look again</button>
      </div>
      <${Loaded} of=${logs} what="the lines">${(data) => {
        const shown = data.logs.filter((each) => each.lines.length);
        if (!shown.length) return html`<${Empty} title="No lines">Nothing was written, or it was removed with what wrote it.</>`;
        return shown.map((each) => html`<div key=${`${each.source} ${each.candidate}`}><h3>${each.candidate ?? each.source}</h3><pre class="log" tabindex="0" role="region" aria-label=${`Lines of ${each.candidate ?? each.source}`}>${each.lines.map(line).join("\n")}</pre></div>`);
      }}</>
    </div>`}
  </details>`;
}

const line = (each) => (typeof each === "string" ? each : JSON.stringify(each));
