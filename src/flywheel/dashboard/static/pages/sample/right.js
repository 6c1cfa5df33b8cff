// Whether an answer is right, in a word: right, or the class of its failure.
import { html } from "../../lib/ui.js";
import { number, plain } from "../../lib/words.js";
import { Chip } from "../../components/chip.js";

export function Right({ of }) {
  if (!of) return html`<span class="soft">not asked</span>`;
  const title = `score ${number(of.score)}`;
  if (of.right === null || of.right === undefined) return html`<${Chip} word=${of.failure ?? "not scored"} tone="none" title=${title} />`;
  return html`<${Chip} word=${of.right ? "right" : of.failure ?? "wrong"} label=${of.right ? "right" : plain(of.failure ?? "wrong")} tone=${of.right ? "good" : "bad"} title=${title} />`;
}
