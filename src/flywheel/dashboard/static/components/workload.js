// A field for a workload: what has been recorded is offered as "client / workload", typed or chosen from the list.
import { html, useEffect, useState } from "../lib/ui.js";
import { useApi } from "../lib/load.js";
import { Field } from "./fields.js";

const SEPARATOR = " / ";
const NOTHING = { client_id: "", workload_id: "" };
export const workloadName = ({ client_id: client, workload_id: workload }) => (client || workload ? `${client}${SEPARATOR}${workload}` : "");

// `value` and what onChange gets: {client_id, workload_id}, empty for none. `search` makes it the field of the key "/".
export function WorkloadField({ label, value, onChange, error, hint, search, required }) {
  const known = useApi("/api/workloads", { limit: 1000 });
  const [text, setText] = useState(workloadName(value));
  const [unknown, setUnknown] = useState(null);
  useEffect(() => setText(workloadName(value)), [value.client_id, value.workload_id]);
  const names = known.data?.workloads ?? [];
  const took = (typed, done) => {
    setText(typed);
    const found = typed.trim() === "" ? NOTHING : chosen(typed, names);
    if (found) onChange({ client_id: found.client_id, workload_id: found.workload_id });
    setUnknown(done && !found ? `There are no records of “${typed}”.` : null);
  };
  return html`<${Field} label=${label} hint=${hint} error=${error ?? unknown}>${(ties) => html`
    <input type="search" list=${`${ties.id}-known`} ...${ties} data-search=${search} value=${text} required=${required} autocomplete="off" spellcheck="false"
      placeholder=${required ? "client / workload" : "any"} onInput=${(event) => took(event.target.value, false)} onChange=${(event) => took(event.target.value, true)} />
    <datalist id=${`${ties.id}-known`}>${names.map((each) => html`<option value=${workloadName(each)} key=${workloadName(each)}></option>`)}</datalist>`}</>`;
}

const chosen = (typed, names) => names.find((each) => workloadName(each) === typed || `${each.client_id}/${each.workload_id}` === typed || each.workload_id === typed);
