// The dialog that starts a run: a workload, and what this run does differently from the configuration.
import { html, useMemo, useState } from "../lib/ui.js";
import { go } from "../lib/address.js";
import { post } from "../lib/api.js";
import { useAction, useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { Dialog } from "../components/dialog.js";
import { AreaField, TextField } from "../components/fields.js";
import { WorkloadField } from "../components/workload.js";

// Block, setting, label: what is changed most. All others go as JSON.
const COMMON = [
  ["training_config", "epochs", "Epochs"],
  ["training_config", "learning_rate", "Learning rate"],
  ["training_config", "batch_size", "Batch size"],
  ["lora_config", "adapter_dim", "Adapter rank"],
  ["data_split_config", "eval_size", "Records for evaluation"],
  ["data_split_config", "limit", "Newest records used"],
];

export function StartRun({ workload, onClose }) {
  const config = useApi("/api/config");
  const [chosen, setChosen] = useState({ client_id: workload?.client_id ?? "", workload_id: workload?.workload_id ?? "" });
  const [models, setModels] = useState(null);
  const [changes, setChanges] = useState({});
  const [more, setMore] = useState("");
  const key = useMemo(newKey, []);
  const [start, { busy, error }] = useAction(async (body) => go(to("/runs/:id", await post("/api/jobs", body, { "Idempotency-Key": keyed(key, body) }))));
  const extra = read(more);
  const problems = byField(error);
  const candidates = config.data?.candidates ?? [];
  const wanted = models ?? candidates.map((each) => each.model_name);
  const send = async (event) => {
    event.preventDefault();
    if (extra.problem) return;
    await start(bodyOf(chosen, models, changes, extra.value));
  };
  return html`<${Dialog} title="Start a run" onClose=${onClose} actions=${html`
    <button type="button" class="button" onClick=${onClose}>Close</button>
    <button type="submit" form="start" class="button main" disabled=${busy}>${busy ? "Starting …" : "Start"}</button>`}>
    <form id="start" class="body flush" onSubmit=${send}>
      <${WorkloadField} label="Workload" value=${chosen} onChange=${setChosen} error=${problems.workload} required />
      <fieldset><legend>Candidates</legend>
        ${candidates.map((each) => html`<label class="check" key=${each.model_name}><input type="checkbox" checked=${wanted.includes(each.model_name)}
          onChange=${(event) => setModels(event.target.checked ? [...wanted, each.model_name] : wanted.filter((name) => name !== each.model_name))} />
          <span>${each.model_name}${each.customization_enabled === false && html` <span class="soft">not trained</span>`}</span></label>`)}
        ${!candidates.length && html`<span class="soft">${config.loading ? "Loading …" : "all of the configuration"}</span>`}
        ${problems.candidates && html`<div class="error">${problems.candidates}</div>`}
      </fieldset>
      <div class="grid">${COMMON.map(([block, name, label]) => html`<${TextField} key=${name} label=${label} inputmode="decimal" value=${changes[`${block}.${name}`] ?? ""}
        placeholder=${String(config.data?.defaults?.[block]?.[name] ?? "")} error=${problems[`${block}.${name}`]} onInput=${(text) => setChanges({ ...changes, [`${block}.${name}`]: text })} />`)}</div>
      <${AreaField} label="Everything else, as JSON" value=${more} onInput=${setMore} error=${extra.problem} placeholder=${'{"evaluation_config": {"margin": 0.05}}'}
        hint="Blocks as in the configuration; each holds only what differs." />
      ${problems.other && html`<p class="error" role="alert">${problems.other}</p>`}
    </form>
  </>`;
}

// The body of POST /api/jobs. Fields that are empty are left to the configuration.
function bodyOf(workload, models, changes, extra) {
  const body = { ...workload, ...extra };
  if (models) body.candidates = models;
  for (const [path, text] of Object.entries(changes)) {
    if (text.trim() === "") continue;
    const [block, name] = path.split(".");
    body[block] = { ...body[block], [name]: Number.isNaN(Number(text)) ? text : Number(text) };
  }
  return body;
}

function read(text) {
  if (text.trim() === "") return { value: {} };
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return { value };
    return { problem: "This must be a JSON object, such as {\"icl_config\": {\"max_examples\": 3}}." };
  } catch (error) {
    return { problem: `This is not JSON: ${error.message}` };
  }
}

// Each line of the server's message at the field that it speaks of: {"training_config.epochs": "…", other: "…"}.
export function byField(error) {
  if (!error) return {};
  if (error.code === "unknown_workload" || error.code === "too_few_records") return { workload: error.message };
  if (error.code === "unknown_candidate" || error.code === "no_candidates") return { candidates: error.message };
  const found = {};
  for (const line of error.message.split("\n")) {
    const [, block, name, text] = line.match(/^(?:the job's body: )?(\w+): (\w+): (.*)$/s) ?? [];
    const field = COMMON.some((each) => each[0] === block && each[1] === name) ? `${block}.${name}` : /workload_id|client_id/.test(line) ? "workload" : "other";
    const said = field === "other" ? line.replace("the job's body: ", "") : text ?? line.replace("the job's body: ", "");
    found[field] = found[field] ? `${found[field]}\n${said}` : said;
  }
  return found;
}

// A key for this dialog and this body: pressing twice starts one run, and a corrected body is another request.
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (each) => each.toString(16).padStart(2, "0")).join("");
function keyed(key, body) {
  const text = JSON.stringify(body);
  let sum = 0;
  for (let at = 0; at < text.length; at += 1) sum = (Math.imul(sum, 31) + text.charCodeAt(at)) >>> 0;
  return `${key}-${sum.toString(16)}`;
}
