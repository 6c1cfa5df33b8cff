// How far the newest records are from the last data set: a line for the mix of tools, or for each tool's arguments.
import { html } from "../../lib/ui.js";
import { number, percent, plain, probability } from "../../lib/words.js";
import { DataTable } from "../../components/table.js";

// `of` is {tools: {…}, arguments: {…}}, or one of them: the numbers as the API has them.
export const Drift = ({ of }) => Object.entries(of).map(([what, drift]) => html`<div key=${what}><h3>Drift of ${plain(what)}</h3>
  <p class="soft lead">${number(drift.records_now)} new records beside ${number(drift.records_before)} of the last data set. A distance counts from ${number(drift.threshold)} beyond the noise of sampling, and if it is no chance.</p>
  <${DataTable} caption=${`Drift of ${plain(what)}`} columns=${columns} rows=${drift.shifts} rowKey=${(each) => each.what} empty="Too few calls to compare." /></div>`);

const columns = [
  { id: "what", label: "Of", head: true, value: (each) => each.what },
  { id: "excess", label: "Beyond noise", align: "n", value: (each) => each.excess, show: (each) => number(each.excess) },
  { id: "noise", label: "Noise", align: "n", value: (each) => each.noise, show: (each) => number(each.noise) },
  { id: "p", label: "p", align: "n", value: (each) => each.p_value, show: (each) => probability(each.p_value) },
  { id: "before", label: "Calls before", align: "n", value: (each) => each.calls_before, show: (each) => number(each.calls_before) },
  { id: "now", label: "Calls now", align: "n", value: (each) => each.calls_now, show: (each) => number(each.calls_now) },
  { id: "moved", label: "Moved most", class: "text", sortable: false, show: (each) => html`<ul>${each.moved.map((one) => html`<li key=${one.value}><span>${one.value}</span> <span class="soft">${percent(one.before)} → ${percent(one.now)}</span></li>`)}</ul>` },
];
