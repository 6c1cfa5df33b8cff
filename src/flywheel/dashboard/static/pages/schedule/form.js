// The dialog that makes a schedule or changes one.
import { html, useState } from "../../lib/ui.js";
import { go } from "../../lib/address.js";
import { patch, post, segments } from "../../lib/api.js";
import { useAction } from "../../lib/load.js";
import { to } from "../../lib/routes.js";
import { Dialog } from "../../components/dialog.js";
import { AreaField, SelectField, TextField } from "../../components/fields.js";
import { WorkloadField } from "../../components/workload.js";
import { KINDS } from "./triggers.js";

const MISSED = [["skip", "is left out"], ["once", "is made up for once"]];
const MIXES = [["tools", "the tool mix"], ["arguments", "the tools' argument values"]];

// `schedule` is the one that is changed; without it a new one is made. `onDone` gets what the server answered.
export function ScheduleForm({ schedule, workload, onClose, onDone }) {
  const [form, setForm] = useState(() => start(schedule, workload));
  const [more, setMore] = useState(schedule && Object.keys(schedule.overrides ?? {}).length ? JSON.stringify(schedule.overrides, null, 2) : "");
  const put = (changes) => setForm((old) => ({ ...old, ...changes }));
  const overrides = read(more);
  const [save, { busy, error }] = useAction(async (body) => {
    const answer = schedule ? await patch(segments("api", "schedules", schedule.id), body) : await post("/api/schedules", body);
    onDone ? onDone(answer) : go(to("/schedules/:id", answer));
  });
  const send = (event) => {
    event.preventDefault();
    if (!overrides.problem) save(bodyOf(form, overrides.value, schedule));
  };
  return html`<${Dialog} title=${schedule ? "Change the schedule" : "New schedule"} onClose=${onClose} actions=${html`
    <button type="button" class="button" onClick=${onClose}>Close</button>
    <button type="submit" form="schedule" class="button main" disabled=${busy}>${busy ? "Saving …" : "Save"}</button>`}>
    <form id="schedule" class="body flush" onSubmit=${send}>
      ${!schedule && html`<${WorkloadField} label="Workload" value=${form} onChange=${(chosen) => put(chosen)} required />`}
      <${TextField} label="Name" value=${form.name} placeholder="what it is called in lists" onInput=${(name) => put({ name })} />
      <fieldset><legend>A run starts</legend>
        ${form.triggers.map((trigger, at) => html`<${Trigger} key=${at} of=${trigger} number=${at + 1}
          onChange=${(changed) => put({ triggers: form.triggers.map((each, i) => (i === at ? changed : each)) })}
          onRemove=${form.triggers.length > 1 && (() => put({ triggers: form.triggers.filter((_, i) => i !== at) }))} />`)}
        <div><button type="button" class="button" onClick=${() => put({ triggers: [...form.triggers, KINDS[1][2]()] })}>Add another reason</button></div>
      </fieldset>
      <div class="grid">
        <${TextField} label="Minutes between runs, at least" inputmode="numeric" value=${form.minutes} onInput=${(minutes) => put({ minutes })} />
        <${SelectField} label="A time that was missed" value=${form.missed} options=${MISSED} onChange=${(missed) => put({ missed })} />
        <${TextField} label="Runs in seven days, at most" inputmode="numeric" value=${form.runs} placeholder="any number" onInput=${(runs) => put({ runs })} />
        <${TextField} label="GPU hours in seven days, at most" inputmode="decimal" value=${form.hours} placeholder="any number" onInput=${(hours) => put({ hours })} />
      </div>
      <label class="check"><input type="checkbox" checked=${form.enabled} onChange=${(event) => put({ enabled: event.target.checked })} /><span>Active</span></label>
      <${AreaField} label="What its runs do differently, as JSON" value=${more} onInput=${setMore} error=${overrides.problem} placeholder=${'{"training_config": {"epochs": 2}}'} />
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
    </form>
  </>`;
}

function Trigger({ of, number, onChange, onRemove }) {
  const put = (changes) => onChange({ ...of, ...changes });
  const chosen = (type) => onChange(KINDS.find(([kind]) => kind === type)[2]());
  return html`<div class="group trigger" role="group" aria-label=${`Reason ${number}`}>
    <${SelectField} label=${`Reason ${number}`} value=${of.type} options=${KINDS.map(([type, label]) => [type, label])} onChange=${chosen} />
    ${of.type === "cron" && html`<${TextField} label="Cron" value=${of.cron} onInput=${(cron) => put({ cron })} hint="minute hour day month weekday" /><${TextField} label="Time zone" value=${of.timezone} onInput=${(timezone) => put({ timezone })} />`}
    ${of.type === "records" && html`<${TextField} label="New records" inputmode="numeric" value=${of.every} onInput=${(every) => put({ every })} />`}
    ${of.type === "drift" && html`<${SelectField} label="Of" value=${of.of} options=${MIXES} onChange=${(what) => put({ of: what })} /><${TextField} label="Threshold" inputmode="decimal" value=${of.threshold ?? ""} placeholder="0.1" onInput=${(threshold) => put({ threshold })} hint="Jensen-Shannon distance beyond chance, 0 to 1" />`}
    ${onRemove && html`<button type="button" class="button" onClick=${onRemove} aria-label=${`Remove reason ${number}`}>Remove</button>`}
  </div>`;
}

const start = (schedule, workload) => ({
  client_id: schedule?.client_id ?? workload?.client_id ?? "",
  workload_id: schedule?.workload_id ?? workload?.workload_id ?? "",
  name: schedule?.name ?? "",
  enabled: schedule?.enabled ?? true,
  triggers: schedule?.triggers ?? [KINDS[0][2]()],
  minutes: String((schedule?.debounce ?? 900) / 60),
  missed: schedule?.missed ?? "skip",
  runs: schedule?.budget?.runs_per_week ?? "",
  hours: schedule?.budget?.gpu_hours_per_week ?? "",
});

// Numbers as numbers; what is none stays as it was typed, so that the server says what is wrong with it.
const value = (text) => (String(text).trim() === "" ? null : Number.isNaN(Number(text)) ? text : Number(text));

function bodyOf(form, overrides, schedule) {
  const minutes = value(form.minutes);
  const body = {
    enabled: form.enabled,
    triggers: form.triggers.map((each) => ({ ...each, ...("every" in each && { every: value(each.every) }), ...("threshold" in each && { threshold: value(each.threshold) }) })),
    debounce: typeof minutes === "number" ? minutes * 60 : minutes ?? 0,
    missed: form.missed,
    budget: { runs_per_week: value(form.runs), gpu_hours_per_week: value(form.hours) },
    overrides,
  };
  if (form.name.trim()) body.name = form.name.trim();
  return schedule ? body : { client_id: form.client_id, workload_id: form.workload_id, ...body };
}

function read(text) {
  if (text.trim() === "") return { value: {} };
  try {
    const found = JSON.parse(text);
    if (found && typeof found === "object" && !Array.isArray(found)) return { value: found };
    return { problem: "This must be a JSON object." };
  } catch (error) {
    return { problem: `This is not JSON: ${error.message}` };
  }
}
