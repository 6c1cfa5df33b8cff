// One run: how far it is while it goes on, and everything that came of it.
import { html, useMemo, useRef, useState } from "../lib/ui.js";
import { post, segments } from "../lib/api.js";
import { useAction, useApi, useTicking } from "../lib/load.js";
import { useLive } from "../lib/live.js";
import { to } from "../lib/routes.js";
import { duration, number } from "../lib/words.js";
import { Chip, Verdict } from "../components/chip.js";
import { Confirm } from "../components/dialog.js";
import { WorkloadName } from "../components/links.js";
import { Facts, Page, Section } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { Time } from "../components/time.js";
import { Curation } from "./run/curation.js";
import { Failures } from "./run/failures.js";
import { History } from "./run/history.js";
import { Logs } from "./run/logs.js";
import { Progress } from "./run/progress.js";
import { Scores } from "./run/scores.js";
import { Slices } from "./run/slices.js";
import { Speeds } from "./run/speeds.js";
import { Training } from "./run/training.js";
import * as reading from "./run/reading.js";
import { LiveChip, OPEN, took } from "./runs.js";

export default function Run({ params }) {
  const path = segments("api", "jobs", params.id);
  const run = useApi(path);
  const job = run.data;
  const open = Boolean(job) && OPEN.has(job.status);
  const losses = useApi(job && `${path}/losses`, { status: job?.status });
  useApi(job?.status === "completed" && `${path}/compared`, { limit: 1 }); // Read ahead: the page of samples is likely next, and the first reading takes seconds.
  const { live, curves } = useWatched(run, losses, open && path);
  return html`<${Page} title=${job ? html`<${WorkloadName} of=${job} />` : `Run ${params.id}`} name=${job ? `${job.workload_id}, run ${params.id.slice(-8)}` : "Run"}
    trail=${[["Runs", "/runs"], ...(job ? [[job.workload_id, to("/runs", {}, { client_id: job.client_id, workload_id: job.workload_id })]] : [])]}
    about=${job && html`<${About} job=${job} live=${live} />`} actions=${job && html`<${Actions} job=${job} open=${open} reload=${run.reload} />`}>
    <${Loaded} of=${run} what="the run">${() => html`<${Body} job=${job} open=${open} curves=${curves} path=${path} />`}</>
  </>`;
}

// Keeps the document up to date: small changes are put into it, and where something ended it is loaded anew.
function useWatched(run, losses, path) {
  const [grown, setGrown] = useState(null);
  const stages = useRef("");
  const live = useLive(path && `${path}/events`, {
    run: (now) => {
      const { losses: told, progress, status, error, step, cancel_requested } = now;
      setGrown(told);
      run.put((job) => ({ ...job, progress, status, error, step, cancel_requested }));
      const seen = JSON.stringify([status, step, progress.candidates.map((each) => [each.stage, each.customization?.status, Object.values(each.evaluations).map((one) => one.status)])]);
      if (stages.current && seen !== stages.current) run.reload();
      stages.current = seen;
    },
  }, run.reload);
  const told = path && grown ? grown : losses.data?.losses;
  return { live, curves: useMemo(() => reading.curves(told).filter((each) => each.train.length || each.val.length), [told]) };
}

function About({ job, live }) {
  const open = OPEN.has(job.status);
  useTicking(open);
  return html`
    <${Chip} word=${job.cancel_requested && open ? "cancelling" : job.status} />
    <${LiveChip} state=${live} />
    <span class="mono" title="Id of the run">${job.id}</span>
    <span>started <${Time} at=${job.started_at} exact /></span>
    <span>${open ? "for" : "took"} ${duration(took(job))}</span>
    <span>${number(job.num_records)} records</span>
    ${job.workload_type && html`<span>${job.workload_type.replaceAll("_", " ")}</span>`}`;
}

function Actions({ job, open, reload }) {
  const [asking, setAsking] = useState(false);
  const [cancel, { busy, error }] = useAction(async () => {
    await post(`${segments("api", "jobs", job.id)}/cancel`);
    setAsking(false);
    reload();
  });
  return html`
    ${job.status === "completed" && html`<a class="button" href=${to("/runs/:id/samples", job)}>Samples</a>`}
    ${open && !job.cancel_requested && html`<button type="button" class="button danger" onClick=${() => setAsking(true)}>Cancel the run</button>`}
    ${asking && html`<${Confirm} title="Cancel this run?" yes="Cancel the run" busy=${busy} error=${error} onYes=${cancel} onClose=${() => setAsking(false)}>
      <p>Its trainings and evaluations are ended and its deployments released. What was measured until now is kept.</p></>`}`;
}

function Body({ job, open, curves, path }) {
  const letters = useMemo(() => reading.marks(job), [job]);
  const shared = { job, letters, chosen: reading.chosen(job) };
  const parts = [
    open && { id: "progress", title: "Progress", part: html`<${Progress} job=${job} curves=${curves} />` },
    { id: "scores", title: "Scores", part: Scores.there(job) && html`<${Scores} ...${shared} />` },
    { id: "failures", title: "Wrong answers", part: Failures.there(job) && html`<${Failures} ...${shared} />` },
    { id: "slices", title: "Right and wrong", part: Slices.there(job) && html`<${Slices} ...${shared} />` },
    { id: "speeds", title: "Latency and cost", part: Speeds.there(job) && html`<${Speeds} ...${shared} />` },
    { id: "curation", title: "Data", part: job.curation && html`<${Curation} told=${job.curation} datasets=${job.datasets} />` },
    { id: "training", title: "Training and artefacts", part: job.nims.length > 0 && html`<${Training} job=${job} curves=${open ? [] : curves} />` },
    { id: "logs", title: "Logs", part: html`<${Logs} job=${job} path=${path} open=${open} />` },
    { id: "history", title: "Settings and events", part: html`<${History} job=${job} />` },
  ].filter((each) => each && each.part);
  return html`<div class="stack">
    <${Outcome} job=${job} />
    <nav class="toc" aria-label="Parts of this page"><ul>${parts.map(({ id, title }) => html`<li key=${id}><a href=${`#${id}`}>${title}</a></li>`)}</ul></nav>
    ${parts.map(({ id, title, part }) => html`<${Section} key=${id} id=${id} title=${title}>${part}</>`)}
  </div>`;
}

// What came out, in words.
function Outcome({ job }) {
  const { decision } = job;
  if (job.error) return html`<div id="outcome" class="panel outcome bad"><strong>The run ${job.status === "cancelled" ? "was cancelled" : job.status}</strong><p class="pre">${job.error}</p></div>`;
  if (!decision) return null;
  const tone = { promote: "good", "not yet": "wait", no: "bad" }[decision.verdict?.split(":")[0]] ?? "none";
  return html`<div id="outcome" class=${`panel outcome ${tone}`}>
    <p class="verdict">${decision.verdict ? html`<${Verdict} text=${decision.verdict} />` : "No verdict"}</p>
    <p class="soft">${decision.reason}.</p>
    <${Facts} of=${[
      ["Chosen", html`${decision.model_name} <span class="soft">${decision.eval_type}</span>`],
      ["Adapter", decision.customized_model && html`<a class="mono" href=${to("/models/:name", { name: decision.customized_model })}>${decision.customized_model}</a>`],
      ["Score", html`${number(decision.value)} <span class="soft">${decision.metric}</span>`],
    ]} />
  </div>`;
}
