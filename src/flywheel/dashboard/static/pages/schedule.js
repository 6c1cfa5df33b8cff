// One schedule: why it would or would not start a run now, and what it decided before.
import { html, useState } from "../lib/ui.js";
import { go } from "../lib/address.js";
import { del, patch, post, segments } from "../lib/api.js";
import { useAction, useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { plain, titled } from "../lib/words.js";
import { Chip } from "../components/chip.js";
import { Confirm } from "../components/dialog.js";
import { RunLink, WorkloadLink } from "../components/links.js";
import { Facts, Page, Section } from "../components/page.js";
import { Pager } from "../components/pager.js";
import { Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { Drift } from "./schedule/drift.js";
import { ScheduleForm } from "./schedule/form.js";
import { budget, pause, said } from "./schedule/triggers.js";

const LIMIT = 50;

export default function Schedule({ params, query }) {
  const path = segments("api", "schedules", params.id);
  const schedule = useApi(path);
  const explained = useApi(`${path}/explain`);
  const offset = Number(query.get("offset")) || 0;
  const history = useApi(`${path}/history`, { offset, limit: LIMIT });
  const again = () => [schedule, explained, history].forEach((each) => each.reload());
  return html`<${Page} title=${schedule.data ? titled(schedule.data.name) : "Schedule"} trail=${[["Schedules", "/schedules"]]}
    about=${schedule.data && html`<${Chip} word=${schedule.data.enabled ? "active" : "paused"} /><${WorkloadLink} of=${schedule.data} />`}
    actions=${schedule.data && html`<${Actions} of=${schedule.data} path=${path} again=${again} />`}>
    <${Loaded} of=${schedule} what="the schedule">${(data) => html`<div class="panel"><${Facts} of=${facts(data)} /></div>`}</>
    <${Section} id="explain" title="Would it start a run now?">
      <${Loaded} of=${explained} what="the reasons">${(data) => html`<${Explained} of=${data} />`}</></>
    <${Section} id="history" title="What it decided">
      <${Loaded} of=${history} what="the history">${(data) => html`<${DataTable} caption="Decisions" columns=${decisions} rows=${data.decisions} empty="Nothing has been decided yet." />
        <${Pager} what="decisions" offset=${offset} limit=${LIMIT} total=${data.total} />`}</></>
  </>`;
}

const facts = (each) => [
  ["Starts a run", html`<ul>${each.triggers.map((trigger) => html`<li key=${said(trigger)}>${said(trigger)}</li>`)}</ul>`],
  ["Next time", each.next_at && html`<${Time} at=${each.next_at} exact />`],
  ["Pause between runs", pause(each.debounce)],
  ["A missed time", each.missed === "once" ? "is made up for once" : "is left out"],
  ["Budget for seven days", budget(each.budget)],
  ["Last run", each.last_run && html`<${RunLink} id=${each.last_run.id} /> <${Chip} word=${each.last_run.status ?? "run"} />`],
  ["Its runs differ by", Object.keys(each.overrides ?? {}).join(", ")],
];

function Explained({ of }) {
  return html`<div class="stack">
    <div class=${`panel outcome ${of.would_run ? "good" : "wait"}`}><div class="verdict">${of.would_run ? "Yes: it would start a run." : of.reasons.some((each) => each.fires) ? "No: there is a reason, and something holds it." : "No: there is no reason."}</div></div>
    <div class="beside">
      <div><h3>Reasons</h3><${DataTable} caption="Reasons" columns=${reasons} rows=${of.reasons} /></div>
      <div><h3>What holds it</h3><${DataTable} caption="Holds" columns=${holds} rows=${of.holds} empty="Nothing." /></div>
    </div>
    ${of.drift && html`<${Drift} of=${of.drift} />`}
  </div>`;
}

function Actions({ of, path, again }) {
  const [doing, setDoing] = useState(null);
  const [run, running] = useAction(async () => go(to("/runs/:id", await post(`${path}/run`))));
  const [turn, turning] = useAction(async () => {
    await patch(path, { enabled: !of.enabled });
    again();
  });
  const [remove, removing] = useAction(async () => {
    await del(path);
    go("/schedules");
  });
  const problem = running.error ?? turning.error;
  return html`
    ${problem && html`<span class="error" role="alert">${problem.message}</span>`}
    <button type="button" class="button" disabled=${running.busy} onClick=${run}>Run now</button>
    <button type="button" class="button" disabled=${turning.busy} onClick=${turn}>${of.enabled ? "Pause" : "Activate"}</button>
    <button type="button" class="button" onClick=${() => setDoing("change")}>Change</button>
    <button type="button" class="button danger" onClick=${() => setDoing("delete")}>Delete</button>
    ${doing === "change" && html`<${ScheduleForm} schedule=${of} onClose=${() => setDoing(null)} onDone=${() => {
      setDoing(null);
      again();
    }} />`}
    ${doing === "delete" && html`<${Confirm} title="Delete this schedule?" yes="Delete" busy=${removing.busy} error=${removing.error} onYes=${remove} onClose=${() => setDoing(null)}><p>Its history goes with it. Runs that it started stay.</p></>`}`;
}

const reasons = [
  { id: "trigger", label: "Trigger", head: true, value: (each) => each.trigger },
  { id: "fires", label: "Now", class: "line", value: (each) => each.fires, show: (each) => html`<${Chip} word=${each.fires ? "yes" : "no"} tone=${each.fires ? "good" : "none"} label=${each.fires ? "fires" : "quiet"} />` },
  { id: "says", label: "Why", class: "text", value: (each) => each.says },
  { id: "next", label: "Next", align: "n", value: (each) => each.next, show: (each) => html`<${Time} at=${each.next} />` },
];
const holds = [
  { id: "what", label: "What", head: true, value: (each) => plain(each.what) },
  { id: "says", label: "Why", class: "text", value: (each) => each.says },
  { id: "until", label: "Until", align: "n", value: (each) => each.until, show: (each) => html`<${Time} at=${each.until} />` },
];
const decisions = [
  { id: "at", label: "When", class: "line", value: (each) => each.at, show: (each) => html`<${Time} at=${each.at} exact />` },
  { id: "decision", label: "Decision", class: "line", value: (each) => each.decision, show: (each) => html`<${Chip} word=${each.decision} />` },
  { id: "trigger", label: "Trigger", value: (each) => each.trigger },
  { id: "says", label: "Why", class: "text", value: (each) => each.says },
  { id: "run", label: "Run", class: "line", value: (each) => each.run_id, show: (each) => html`<${RunLink} id=${each.run_id} />` },
];
