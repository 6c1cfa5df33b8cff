// Links between what there is: a workload, a run, a model, a data set.
import { html } from "../lib/ui.js";
import { to } from "../lib/routes.js";
import { short } from "../lib/words.js";

// `of` is anything with client_id and workload_id. Each in its own element: neither name turns the other around.
export const WorkloadName = ({ of }) => html`<span class="soft">${of.client_id} / </span><span>${of.workload_id}</span>`;

export const WorkloadLink = ({ of }) => (of?.workload_id ? html`<a href=${to("/workloads/:client_id/:workload_id", of)}><${WorkloadName} of=${of} /></a>` : null);

export const RunLink = ({ id }) => (id ? html`<a class="mono" href=${to("/runs/:id", { id })} title=${id}>${id.slice(-8)}</a>` : null);

export const ModelLink = ({ name }) => (name ? html`<a href=${to("/models/:name", { name })}>${name}</a>` : null);

export const DatasetLink = ({ name }) => (name ? html`<a href=${to("/datasets/:name", { name })}>${name}</a>` : null);

// A content hash: its first letters, the whole in the title.
export const Hash = ({ of }) => (of ? html`<span class="mono" title=${`sha256 ${of}`}>${short(of, 12)}</span>` : null);

// A file to be saved. Only addresses of our own API are links; what else a server may say is text.
export const Download = ({ href, name }) => (String(href ?? "").startsWith("/api/") ? html`<a href=${href} download=${name.split("/").at(-1)}>${name}</a>` : name);
