// A chat message's text and calls, drawn as text whatever is in them.
import { html, useState } from "../../lib/ui.js";

const LONG = 2_000;
const SHOWN = 1_200;

// The text of a message's content, which may be a list of parts; what is no text is named.
export function textOf(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return JSON.stringify(content);
  return content.map((part) => part?.text ?? `[${part?.type ?? "something"}]`).join("\n");
}

// Said words as they are; of a long text the beginning, and the rest on demand.
export function Text({ text }) {
  const [all, setAll] = useState(false);
  if (!text) return null;
  const cut = text.length > LONG && !all;
  return html`<div class="said">${cut ? `${text.slice(0, SHOWN)} …` : text}</div>
    ${text.length > LONG && html`<button type="button" class="button" onClick=${() => setAll(!all)}>${cut ? `Show all ${text.length} characters` : "Show less"}</button>`}`;
}

// Text in a box that scrolls, and that keys can reach for that.
export const Code = ({ label, text }) => html`<pre class="small" tabindex="0" role="region" aria-label=${label}>${text}</pre>`;

// {name, arguments, raw} of a call; arguments that cannot be read are `raw`.
export function callOf(call) {
  const { name, arguments: given } = call?.function ?? {};
  if (given && typeof given === "object") return { name, arguments: given };
  try {
    return { name, arguments: JSON.parse(given ?? "{}") };
  } catch {
    return { name, raw: String(given) };
  }
}

export const written = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

export const Calls = ({ of }) => (Array.isArray(of) ? of : []).map((call, at) => {
  const { name, arguments: given, raw } = callOf(call);
  const pairs = given && typeof given === "object" && !Array.isArray(given) ? Object.entries(given) : null;
  return html`<div class="call" key=${at}><code><b>${name}</b></code>
    ${raw !== undefined && html`<${Code} label="Arguments that cannot be read" text=${raw} />`}
    ${pairs ? html`<dl class="pairs">${pairs.map(([key, value]) => html`<div key=${key}><dt><code>${key}</code></dt><dd>${written(value)}</dd></div>`)}</dl>` : given !== undefined && html`<${Code} label="Arguments" text=${written(given)} />`}
  </div>`;
});
