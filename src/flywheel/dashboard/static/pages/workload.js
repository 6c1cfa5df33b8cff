// One workload: its traffic, its tools, what the teacher took for it, and how healthy the records are.
import { html, useMemo, useState } from "../lib/ui.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { number, percent, plain, span } from "../lib/words.js";
import { Chip, Verdict } from "../components/chip.js";
import { WorkloadName } from "../components/links.js";
import { Facts, Page, Section } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { Days } from "../charts/days.js";
import { Shares } from "../charts/shares.js";
import { StartRun } from "./start.js";
import { Schemas } from "./workload/schemas.js";

export default function Workload({ params }) {
  const of = { client_id: params.client_id, workload_id: params.workload_id };
  const [starting, setStarting] = useState(false);
  const profile = useApi("/api/workloads/profile", of);
  const listed = useApi("/api/workloads", { client_id: of.client_id, search: of.workload_id, limit: 1000 });
  const standing = listed.data?.workloads.find((each) => each.workload_id === of.workload_id && each.client_id === of.client_id);
  return html`<${Page} title=${html`<${WorkloadName} of=${of} />`} name=${of.workload_id} trail=${[["Workloads", "/workloads"]]}
    about=${profile.data && html`<span>${number(profile.data.count)} records</span><span>the last <${Time} at=${profile.data.last} /></span>`}
    actions=${html`<a class="button" href=${to("/compare", {}, of)}>Scores over time</a><a class="button" href=${to("/runs", {}, of)}>Runs</a>
      <button type="button" class="button main" onClick=${() => setStarting(true)}>Start a run</button>`}>
    ${standing && html`<${Standing} of=${standing} />`}
    <${Loaded} of=${profile} what="the profile">${(data) => html`<${Profile} of=${data} />`}</>
    ${starting && html`<${StartRun} workload=${of} onClose=${() => setStarting(false)} />`}
  </>`;
}

function Standing({ of }) {
  const { best, last_run: last } = of;
  if (!last) return html`<div class="panel soft">No run yet.</div>`;
  return html`<div class="panel"><${Facts} of=${[
    ["Last run", html`<a href=${to("/runs/:id", last)}><${Chip} word=${last.status} /></a> <${Time} at=${last.created_at} />`],
    ["Best student so far", best && html`<a href=${to("/runs/:id", { id: best.run_id })}>${best.model_name} ${best.eval_type}</a>`],
    [best && plain(best.metric), best && (best.value > 1 ? html`${number(best.value)} <span class="soft">${span(best, { plain: true })}</span>` : html`${percent(best.value)} <span class="soft">${span(best)}, n = ${number(best.n)}</span>`)],
    ["Verdict", best?.verdict && html`<${Verdict} text=${best.verdict} />`],
  ]} /></div>`;
}

function Profile({ of }) {
  const whole = of.looked_at >= of.count;
  const looked = whole ? "Of all records." : `Of the newest ${number(of.looked_at)} records.`;
  const mix = useMemo(() => [...of.tools, { ...of.no_call, name: "(no call)", quiet: true }].filter((each) => each.count).sort((a, b) => b.count - a.count), [of]);
  return html`<div class="stack">
    <${Section} id="traffic" title="Records per day" about="Days are in UTC.">
      <div class="panel">${of.per_day.length ? html`<${Days} title="Records per day" days=${of.per_day} />` : "No records."}</div></>
    <div class="beside">
      <${Section} id="tools" title="Tool mix" about=${looked}>
        <div class="panel">${mix.length ? html`<${Shares} title="Records by the tool that the teacher called" rows=${mix} />` : "No valid record."}</div>
        <details><summary>As a table</summary><${DataTable} caption="Tool mix" columns=${mixColumns} rows=${mix} rowKey=${(each) => each.name} /></details></>
      <div class="stack">
        <${Section} id="teacher" title="The teacher" about=${looked}><div class="panel"><${Teacher} of=${of.teacher} looked=${of.looked_at} /></div></>
        <${Section} id="records" title="Health of the records" about="What curation would say of them; the same words as in the report of a run."><${Health} of=${of.health} looked=${of.looked_at} /></>
      </div>
    </div>
    <${Section} id="schemas" title="Tool schemas over time" about=${`${looked} A tool has a new version when its JSON Schema or its description has changed.`}><${Schemas} of=${of.tool_schemas} /></>
  </div>`;
}

const Teacher = ({ of, looked }) => html`<${Facts} of=${[
  ["Models", Object.entries(of.models).map(([name, count]) => html`<div key=${name}>${name} <span class="soft">${number(count)}</span></div>`)],
  ["Prompt tokens", number(of.prompt_tokens)],
  ["Completion tokens", number(of.completion_tokens)],
  ["Records that tell their tokens", `${number(of.with_usage)} of ${number(looked)}`],
  ["Money spent", of.cost ? `${number(of.cost.total)} ${of.cost.currency ?? ""}` : html`<span class="soft">no price configured</span>`],
  ["Per 1,000 requests", of.cost && `${number(of.cost.per_1000)} ${of.cost.currency ?? ""}`],
]} />`;

function Health({ of, looked }) {
  const rows = [
    ["valid", of.valid], ["duplicate", of.duplicates],
    ...Object.entries(of.invalid).map(([reason, count]) => [plain(reason), count]),
    ["conversations", of.conversations, null], ["requests with several answers (conflicts)", of.conflicts, null],
  ].map(([name, count, share = count / looked]) => ({ name, count, share }));
  return html`<${DataTable} caption="Health of the records" columns=${healthColumns} rows=${rows} rowKey=${(row) => row.name} />`;
}

const mixColumns = [
  { id: "name", label: "Tool", head: true, value: (each) => each.name },
  { id: "count", label: "Records", align: "n", value: (each) => each.count, show: (each) => number(each.count) },
  { id: "share", label: "Share", align: "n", value: (each) => each.share, show: (each) => percent(each.share) },
];
const healthColumns = [
  { id: "name", label: "What", head: true, sortable: false, value: (row) => row.name },
  { id: "count", label: "Records", align: "n", sortable: false, value: (row) => row.count, show: (row) => number(row.count) },
  { id: "share", label: "Share", align: "n", sortable: false, value: (row) => row.share, show: (row) => (row.share === null ? "" : percent(row.share)) },
];
