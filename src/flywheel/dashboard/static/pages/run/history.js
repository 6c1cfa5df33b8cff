// What was asked differently, with which settings it ran, and what happened when.
import { html, useMemo } from "../../lib/ui.js";
import { DASH, flat, stamp } from "../../lib/words.js";
import { Chip } from "../../components/chip.js";
import { DataTable } from "../../components/table.js";

export function History({ job }) {
  const overrides = useMemo(() => flat(job.overrides ?? {}).filter(([name]) => name), [job.overrides]);
  const settings = useMemo(() => flat(job.config ?? {}), [job.config]);
  return html`<div class="stack">
    ${overrides.length > 0 && html`<div><h3>Asked differently for this run</h3><${DataTable} caption="Overrides" columns=${settingColumns} rows=${overrides} rowKey=${([name]) => name} /></div>`}
    <details><summary>All settings (${settings.length})</summary><${DataTable} caption="Settings" columns=${settingColumns} rows=${settings} rowKey=${([name]) => name} /></details>
    <details open=${job.status !== "completed"}><summary>Events (${job.events.length})</summary><${DataTable} caption="Events" columns=${eventColumns} rows=${job.events} /></details>
  </div>`;
}

const said = (value) => (value === null ? DASH : typeof value === "boolean" ? (value ? "yes" : "no") : String(value));
const settingColumns = [
  { id: "name", label: "Setting", head: true, value: ([name]) => name, show: ([name]) => html`<code>${name}</code>` },
  { id: "value", label: "Value", class: "text", value: ([, value]) => said(value) },
];
const TONES = { error: "bad", warning: "wait", info: "none" };
const eventColumns = [
  { id: "at", label: "When", class: "line", value: (row) => row.at, show: (row) => html`<time>${stamp(row.at)}</time>` },
  { id: "level", label: "Level", hide: "narrow", value: (row) => row.level, show: (row) => html`<${Chip} word=${row.level} tone=${TONES[row.level]} />` },
  { id: "candidate", label: "Candidate", hide: "narrow", value: (row) => row.candidate },
  { id: "message", label: "What", class: "text", value: (row) => row.message },
];
