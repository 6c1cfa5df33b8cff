// The teacher's answer, and a system's with what differs from it: arguments one by one, words word by word.
import { html, useMemo } from "../../lib/ui.js";
import { diffWordsWithSpace } from "../../vendor/diff.js";
import { milliseconds, number, plain } from "../../lib/words.js";
import { Chip } from "../../components/chip.js";
import { Calls, Code, Text, textOf, written } from "./message.js";
import { Right } from "./right.js";

const MOST_WORDS = 20_000;

export const Reference = ({ message, problem }) => html`<section class="panel card reference" aria-labelledby="reference-title">
  <header><h2 id="reference-title">Teacher</h2><span class="soft">the reference</span></header>
  ${problem && html`<p class="error">This reference is left out: ${problem}</p>`}
  <${Text} text=${textOf(message?.content)} /><${Calls} of=${message?.tool_calls} />
</section>`;

export function Answer({ name, system, reference }) {
  const said = textOf(system.response?.content);
  const wanted = textOf(reference?.content);
  const inWords = said && wanted && said !== wanted;
  return html`<section class=${`panel card ${system.right ? "right" : system.right === false ? "wrong" : ""}`} aria-label=${`Answer of ${name}`}>
    <header><h3>${name}</h3><${Right} of=${system} /></header>
    ${!system.response && html`<p class="soft">There is no answer.</p>`}
    ${system.detail && html`<p class="error">${system.detail}</p>`}
    ${inWords ? html`<${Words} from=${wanted} to=${said} />` : html`<${Text} text=${said} />`}
    ${system.differences?.length ? html`<${Arguments} of=${system.differences} />` : html`<${Calls} of=${system.response?.tool_calls} />`}
    <footer class="soft small">${facts(system)}</footer>
    ${system.response && html`<details><summary>As it was sent, with all scores</summary><${Code} label=${`All that ${name} sent`} text=${JSON.stringify({ response: system.response, scores: system.scores }, null, 1)} /></details>`}
  </section>`;
}

function facts(system) {
  const usage = system.usage ?? {};
  return [
    `score ${number(system.score)}`,
    system.latency_ms != null && milliseconds(system.latency_ms),
    usage.completion_tokens != null && `${number(usage.prompt_tokens)} tokens in, ${number(usage.completion_tokens)} out`,
    system.finish_reason && `ended by ${plain(system.finish_reason)}`,
  ].filter(Boolean).join(" · ");
}

// Expected and given arguments, call by call; what agrees is quiet.
function Arguments({ of }) {
  const calls = useMemo(() => {
    const groups = [];
    for (const line of of) {
      if (groups.at(-1)?.tool !== line.tool || line.argument === null) groups.push({ tool: line.tool, lines: [] });
      groups.at(-1).lines.push(line);
    }
    return groups;
  }, [of]);
  return calls.map(({ tool, lines }, at) => html`<div class="call" key=${at}>${tool && html`<code><b>${tool}</b></code>`}
    <div class="scroll flat" role="region" aria-label="Arguments" tabindex="0"><table class="data diff"><thead><tr><th scope="col">Argument</th><th scope="col">Teacher</th><th scope="col">Answer</th><th scope="col">Verdict</th></tr></thead>
      <tbody>${lines.map((line, number_) => html`<tr key=${number_} class=${line.verdict === "same" ? "same" : "differs"}>
        <th scope="row">${line.argument ? html`<code>${line.argument}</code>` : "the whole call"}</th>
        <td>${spelled(line, line.expected) || html`<span class="soft">none</span>`}</td>
        <td>${line.verdict === "same" ? spelled(line, line.got) : html`<mark>${spelled(line, line.got) || "none"}</mark>`}</td>
        <td>${line.verdict === "same" ? html`<span class="soft">same</span>` : html`<${Chip} word=${line.verdict} tone="bad" />`}</td></tr>`)}</tbody></table></div>
  </div>`);
}

// A value of one argument; of a whole call, all of its arguments in lines, or that there is no call.
function spelled({ argument, tool }, value) {
  if (argument === null && tool && (value === null || value === undefined)) return "no call";
  if (argument === null && tool && typeof value === "object" && !Object.keys(value).length) return "a call without arguments";
  if (argument === null && value && typeof value === "object" && !Array.isArray(value)) return Object.entries(value).map(([name, each]) => `${name}: ${written(each)}`).join("\n");
  return written(value ?? undefined);
}

function Words({ from, to }) {
  const parts = useMemo(() => (from.length + to.length > MOST_WORDS ? null : diffWordsWithSpace(from, to)), [from, to]);
  if (!parts) return html`<${Text} text=${to} />`;
  return html`<div class="said">${parts.map((part, at) => (part.added ? html`<ins key=${at}>${part.value}</ins>` : part.removed ? html`<del key=${at}>${part.value}</del>` : html`<span key=${at}>${part.value}</span>`))}</div>`;
}
