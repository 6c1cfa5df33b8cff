// A status in a word, with a colour and a shape that only repeat the word.
import { html } from "../lib/ui.js";
import { plain } from "../lib/words.js";

const TONES = {
  good: ["completed", "ready", "ok", "right", "promote", "served", "active", "started", "live", "match", "equal", "yes"],
  busy: ["running", "running-evals", "created", "deploy", "work", "customize", "evaluate"],
  wait: ["pending", "waiting", "queued", "held", "not yet", "missed", "polling", "connecting", "cancelling"],
  bad: ["failed", "error", "wrong", "no", "down"],
};
const tones = new Map(Object.entries(TONES).flatMap(([tone, words]) => words.map((word) => [word, tone])));

// `tone` is good, busy, wait, bad or none; without it the word decides.
export const Chip = ({ word, tone, title, label }) => html`<span class=${`chip ${tone ?? tones.get(word) ?? "none"}`} title=${title}>${label ?? plain(word)}</span>`;

// The verdict on a candidate: its decision as a chip, and the whole sentence beside it where there is room.
export function Verdict({ text, brief = false }) {
  if (!text) return html`<span class="soft">no verdict</span>`;
  const [decision, ...rest] = text.split(":");
  if (brief || !rest.length) return html`<${Chip} word=${decision} title=${text} />`;
  return html`<${Chip} word=${decision} /> <span>${rest.join(":").trim()}</span>`;
}

// A share of 100 as a bar with its number.
export const Bar = ({ value = 0, label }) => html`<span class="bar"><progress max="100" value=${value} aria-label=${label}></progress><span class="n">${Math.floor(value)} %</span></span>`;
