// One record: the request, the teacher's answer, and every system's beside it, with what differs.
import { html, useEffect } from "../lib/ui.js";
import { go } from "../lib/address.js";
import { segments } from "../lib/api.js";
import { useKeys } from "../lib/keys.js";
import { useApi } from "../lib/load.js";
import { to } from "../lib/routes.js";
import { number, plain } from "../lib/words.js";
import { Page } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { Answer, Reference } from "./sample/answer.js";
import { Request } from "./sample/request.js";
import { filtersOf } from "./samples.js";

export default function Sample({ params, query }) {
  const asked = filtersOf(query);
  const sample = useApi(segments("api", "jobs", params.id, "compared", params.key), asked);
  const list = to("/runs/:id/samples", params, asked);
  const at = (key) => (key ? to("/runs/:id/samples/:key", { id: params.id, key }, asked) : null);
  const found = sample.stale ? null : sample.data;
  const step = (key) => key && go(at(key), { replace: true });
  const next = { label: "Next sample", run: () => step(found?.next) };
  const previous = { label: "Previous sample", run: () => step(found?.previous) };
  useKeys({ j: next, ArrowRight: next, k: previous, ArrowLeft: previous, u: { label: "Back to the list", run: () => go(list) } });
  useEffect(() => scrollTo(0, 0), [params.key]);
  return html`<${Page} title=${sample.data ? place(sample.data) : "Sample"} name=${`Sample ${params.key}`}
    trail=${[["Runs", "/runs"], [params.id.slice(-8), to("/runs/:id", params)], ["Samples", list]]}
    about=${html`<span class="mono" title="Key of the record">${params.key}</span>${Object.entries(asked).filter(([, value]) => value).map(([name, value]) => html`<span key=${name}>${name}: ${plain(value)}</span>`)}`}
    actions=${html`<${Step} to=${at(found?.previous)} label="Previous" hint="k" /><${Step} to=${at(found?.next)} label="Next" hint="j" />`}>
    <${Loaded} of=${sample} what="the sample">${(data) => html`<${Body} sample=${data} />`}</>
  </>`;
}

const place = ({ position, total, index }) => (position === null ? `Sample ${number(index + 1)}, outside of these filters` : `Sample ${number(position + 1)} of ${number(total)}`);

const Step = ({ to: address, label, hint }) => (address
  ? html`<a class="button" href=${address}>${label} <kbd>${hint}</kbd></a>`
  : html`<button type="button" class="button" disabled>${label} <kbd>${hint}</kbd></button>`);

function Body({ sample }) {
  const systems = Object.entries(sample.systems);
  return html`<div class="sample">
    <${Request} request=${sample.request} metadata=${sample.metadata} />
    <div class="stack answers">
      <${Reference} message=${sample.reference} problem=${sample.bad_reference} />
      <div class="cards">${systems.map(([name, system]) => html`<${Answer} key=${name} name=${name} system=${system} reference=${sample.reference} />`)}</div>
    </div>
  </div>`;
}
