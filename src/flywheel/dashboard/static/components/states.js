// What is shown instead of data: a wait, nothing, or an error, each said in words.
import { html } from "../lib/ui.js";

export const Loading = ({ what = "" }) => html`<div class="state" role="status"><span class="spinner" aria-hidden="true"></span>Loading${what && ` ${what}`} …</div>`;

// Nothing to show: a title, what to do about it, and perhaps a button or a link as children.
export const Empty = ({ title, children }) => html`<div class="state empty"><strong>${title}</strong>${children && html`<div class="soft">${children}</div>`}</div>`;

// An ApiError, with a button that tries again.
export const Problem = ({ error, retry }) => html`<div class="state problem" role="alert">
  <strong>${sentence(error.title || "error")}${error.status ? ` (${error.status})` : ""}</strong>
  <p class="pre">${error.message}</p>
  ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}
</div>`;

// Children of what was loaded by useApi: <${Loaded} of=${runs} what="runs">${(data) => …}</>.
export function Loaded({ of, what, children }) {
  const show = Array.isArray(children) ? children[0] : children;
  if (of.error && !of.data) return html`<${Problem} error=${of.error} retry=${of.reload} />`;
  if (!of.data) return html`<${Loading} what=${what} />`;
  return html`${of.error && html`<${Problem} error=${of.error} retry=${of.reload} />`}
    <div class=${of.stale ? "stale" : ""} aria-busy=${of.loading || of.stale ? "true" : "false"}>${show(of.data)}</div>`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
