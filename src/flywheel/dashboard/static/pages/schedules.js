// Schedules: which runs begin by themselves, when, and why the last one did or did not.
import { html, useState } from "../lib/ui.js";
import { setQuery } from "../lib/address.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { titled } from "../lib/words.js";
import { Chip } from "../components/chip.js";
import { WorkloadLink } from "../components/links.js";
import { Page } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Empty, Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { WorkloadField } from "../components/workload.js";
import { ScheduleForm } from "./schedule/form.js";
import { said } from "./schedule/triggers.js";

const LIMIT = 50;

export default function Schedules({ query }) {
  const [making, setMaking] = useState(false);
  const asked = { client_id: query.get("client_id") ?? "", workload_id: query.get("workload_id") ?? "" };
  const offset = Number(query.get("offset")) || 0;
  const schedules = useApi("/api/schedules", { ...asked, offset, limit: LIMIT });
  return html`<${Page} title="Schedules" about="Runs that begin by themselves: by the clock, or because the traffic has moved."
    actions=${html`<button type="button" class="button main" onClick=${() => setMaking(true)}>New schedule</button>`}>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}><${WorkloadField} label="Workload" value=${asked} onChange=${setQuery} search /></form>
    <${Loaded} of=${schedules} what="schedules">${(data) => data.total === 0
      ? html`<${Empty} title="No schedules">A schedule starts a workload's runs at times of the clock, after so many new records, or when tools or their values have changed.</>`
      : html`<${DataTable} caption="Schedules" columns=${columns} rows=${data.schedules} rowKey=${(each) => each.id} />
        <${Pager} what="schedules" offset=${offset} limit=${LIMIT} total=${data.total} />`}</>
    ${making && html`<${ScheduleForm} workload=${asked} onClose=${() => setMaking(false)} />`}
  </>`;
}

const columns = [
  { id: "name", label: "Schedule", head: true, value: (each) => each.name, sortable: false, show: (each) => html`<a href=${to("/schedules/:id", each)}>${titled(each.name)}</a>` },
  { id: "workload", label: "Workload", value: (each) => each.workload_id, sortable: false, show: (each) => html`<${WorkloadLink} of=${each} />` },
  { id: "state", label: "State", class: "line", value: (each) => each.enabled, sortable: false, show: (each) => html`<${Chip} word=${each.enabled ? "active" : "paused"} />` },
  { id: "triggers", label: "Starts a run", class: "text", value: (each) => each.triggers.length, sortable: false, show: (each) => html`<ul>${each.triggers.map((trigger) => html`<li key=${said(trigger)}>${said(trigger)}</li>`)}</ul>` },
  { id: "next", label: "Next time", align: "n", value: (each) => each.next_at, sortable: false, show: (each) => html`<${Time} at=${each.next_at} />` },
  { id: "last", label: "Last decision", value: (each) => each.last_decision?.decision, sortable: false, show: (each) => each.last_decision && html`<${Chip} word=${each.last_decision.decision} title=${each.last_decision.says} /> <span class="soft small"><${Time} at=${each.last_decision.at} /></span>` },
  { id: "run", label: "Last run", class: "line", value: (each) => each.last_run?.id, sortable: false, show: (each) => each.last_run && html`<a href=${to("/runs/:id", each.last_run)}><${Chip} word=${each.last_run.status ?? "run"} /></a>` },
];
