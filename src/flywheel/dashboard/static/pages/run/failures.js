// Wrong answers by class and system, each number a link to those samples.
import { html, useMemo } from "../../lib/ui.js";
import { to } from "../../lib/routes.js";
import { number, plain } from "../../lib/words.js";
import { Failures as Plot } from "../../charts/failures.js";
import { DataTable } from "../../components/table.js";
import { failures } from "./reading.js";

export function Failures({ job, letters }) {
  const { of, classes } = useMemo(() => failures(job), [job]);
  const names = Object.keys(of);
  const columns = useMemo(() => [
    { id: "class", label: "Failure class", head: true, value: (row) => row, show: (row) => plain(row) },
    ...names.map((name) => ({
      id: name, label: letters[name] ?? name, title: name, align: "n", value: (row) => of[name][row] ?? 0,
      show: (row) => (of[name][row] ? html`<a href=${to("/runs/:id/samples", job, { of: name, failure: row })} aria-label=${`${of[name][row]} answers of ${name}: ${plain(row)}`}>${number(of[name][row])}</a>` : html`<span class="soft">0</span>`),
    })),
  ], [of]);
  return html`<div class="beside">
    <div><${DataTable} caption="Wrong answers by class and system" columns=${columns} rows=${classes} rowKey=${(row) => row} />
      <p class="soft small letters">${names.map((name) => html`<span key=${name}><b>${letters[name]}</b> ${name}</span>`)}</p></div>
    <div class="panel"><${Plot} title="Wrong answers by class" of=${of} classes=${classes} marks=${letters} /></div>
  </div>`;
}
Failures.there = (job) => failures(job).classes.length > 0;
