// Where systems are right and wrong: by tool first, then by the other axes of the table.
import { html, useMemo } from "../../lib/ui.js";
import { number, percent, plain, points, probability, span } from "../../lib/words.js";
import { SHOWN, Tools } from "../../charts/tools.js";
import { DataTable } from "../../components/table.js";
import { slices } from "./reading.js";

export function Slices({ job, letters, chosen }) {
  const { table } = job.decision;
  const axes = useMemo(() => slices(job), [job]);
  const columns = useColumns(table.systems, letters);
  const main = useMemo(() => {
    const base = `${job.decision.model_name} base-eval`;
    return [(each) => each.name === chosen, (each) => each.name === base && base !== chosen, (each) => each.role === "ceiling"].flatMap((wanted) => table.systems.filter(wanted));
  }, [job]);
  const names = table.systems.map((each) => each.name);
  return html`<div class="stack">
    <p class="soft lead">Slices of few records are grey: shown with their counts, but neither tested nor ranked. Under a score stand its interval and its difference to the teacher in points, with p adjusted over the axis.</p>
    ${axes.map(([axis, entries]) => html`<div key=${axis}><h3>By ${plain(axis)}</h3>
      <div class="stack">
        ${axis === "tool" && html`<div class="panel"><${Tools} title="Score by the tool that the teacher called" entries=${entries} systems=${main} chosen=${chosen} caption=${entries.length > SHOWN ? `The ${SHOWN} with most records.` : ""} /></div>`}
        <${DataTable} caption=${`Scores by ${plain(axis)}`} columns=${columns} rows=${entries} rowKey=${(row) => row.label} rowClass=${(row) => (row.small ? "few" : "")} />
      </div></div>`)}
    <p class="soft small letters">${names.map((name) => html`<span key=${name}><b>${letters[name]}</b> ${name}</span>`)}</p>
  </div>`;
}
Slices.there = (job) => Boolean(job.decision?.table?.slices?.length);

const useColumns = (systems, letters) => useMemo(() => [
  { id: "label", label: "Slice", head: true, value: (row) => row.label, show: (row) => `${row.label}${row.small ? " (few)" : ""}` },
  { id: "records", label: "Records", align: "n", value: (row) => row.records, show: (row) => number(row.records) },
  { id: "talks", label: "Talks", title: "Conversations", align: "n", hide: "narrow", value: (row) => row.conversations, show: (row) => number(row.conversations) },
  ...systems.map(({ name }) => ({
    id: name, label: letters[name] ?? name, title: name, align: "n", value: (row) => row.values[name] ?? undefined,
    show: (row) => {
      const found = row.differences?.find((each) => each.system === name);
      return html`${percent(row.values[name])}<div class="soft small">${span(row.intervals[name])}</div>
        ${found && html`<div class="soft small">${points(found.value)}, p ${probability(found.p_holm)}</div>`}`;
    },
  })),
], [systems, letters]);
