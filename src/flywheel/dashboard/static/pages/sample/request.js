// What was asked: the messages, the tools that were offered, and the rest of the request.
import { html } from "../../lib/ui.js";
import { flat, stamp } from "../../lib/words.js";
import { Calls, Code, Text, textOf } from "./message.js";

const OPEN = 6;

export function Request({ request, metadata }) {
  const { messages = [], tools = [], ...rest } = request ?? {};
  const early = messages.slice(0, Math.max(0, messages.length - OPEN));
  const late = messages.slice(early.length);
  const { timestamp, ...about } = metadata ?? {};
  return html`<section class="panel request" aria-labelledby="request-title">
    <h2 id="request-title">Request</h2>
    ${timestamp !== undefined && html`<p class="soft small">recorded ${stamp(timestamp)}</p>`}
    ${early.length > 0 && html`<details><summary>${early.length} earlier messages</summary><${Messages} of=${early} /></details>`}
    <${Messages} of=${late} />
    ${tools.length > 0 && html`<details><summary>${tools.length} tools were offered</summary><ul class="stack tools">${tools.map((tool, at) => html`<${Tool} key=${at} tool=${tool} />`)}</ul></details>`}
    <${Pairs} title="The rest of the request" of=${rest} />
    <${Pairs} title="Metadata" of=${about} />
  </section>`;
}

const Messages = ({ of }) => html`<ol class="messages">${of.map((message, at) => html`<li key=${at} class=${`message ${["user", "assistant", "system", "tool"].includes(message.role) ? message.role : ""}`}>
  <div class="role">${message.role}${message.name && html` <code>${message.name}</code>`}</div>
  <${Text} text=${textOf(message.content)} />
  <${Calls} of=${message.tool_calls} />
</li>`)}</ol>`;

function Tool({ tool }) {
  const about = tool.function ?? tool;
  return html`<li><code><b>${about.name}</b></code>${about.description && html`<div class="soft">${about.description}</div>`}
    <${Code} label=${`Parameters of ${about.name}`} text=${JSON.stringify(about.parameters ?? {}, null, 1)} /></li>`;
}

function Pairs({ title, of }) {
  const pairs = flat(of).filter(([name]) => name);
  if (!pairs.length) return null;
  return html`<details><summary>${title}</summary><dl class="pairs">${pairs.map(([name, value]) => html`<div key=${name}><dt><code>${name}</code></dt><dd>${String(value)}</dd></div>`)}</dl></details>`;
}
