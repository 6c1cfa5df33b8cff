// Health: every part of the server, and what `flywheel doctor` says of it.
import { html } from "../lib/ui.js";
import { useApi } from "../lib/load.js";
import { Chip } from "../components/chip.js";
import { Facts, Page, Section } from "../components/page.js";
import { Loaded } from "../components/states.js";
import { DataTable } from "../components/table.js";

export default function Health() {
  const health = useApi("/api/health");
  const thorough = useApi("/api/health", { thorough: true });
  const again = () => {
    health.reload();
    thorough.reload();
  };
  return html`<${Page} title="Health" about="What works, what does not, and how to mend it."
    actions=${html`<button type="button" class="button" onClick=${again}>Check again</button>`}>
    <${Section} id="parts" title="Parts of this server">
      <${Loaded} of=${health} what="the parts">${(data) => html`<div class="stack">
        <${Facts} of=${[["Version", data.version], ["Parts", data.parts.length], ["That do not answer", data.parts.filter((part) => !part.ok).length]]} />
        <${DataTable} caption="Parts and their addresses" columns=${parts} rows=${data.parts} rowKey=${(part) => part.name} /></div>`}</>
    </>
    <${Section} id="findings" title="What the doctor says" about="Installation, configuration and every server in it, as flywheel doctor shows them.">
      <${Loaded} of=${thorough} what="the checks">${(data) => html`<${DataTable} caption="Checks" columns=${findings} rows=${ordered(data.findings ?? [])} rowKey=${(each) => each.check} />`}</>
    </>
  </>`;
}

const word = (finding) => (finding.ok ? "ok" : finding.blocks ? "wrong" : "advice");
const WORST = ["wrong", "advice", "ok"];
const ordered = (found) => [...found].sort((a, b) => WORST.indexOf(word(a)) - WORST.indexOf(word(b)));

const parts = [
  { id: "name", label: "Part", head: true, class: "line", value: (part) => part.name },
  { id: "ok", label: "State", class: "line", value: (part) => (part.ok ? "ok" : "down"), show: (part) => html`<${Chip} word=${part.ok ? "ok" : "down"} label=${part.ok ? "answers" : "does not answer"} />` },
  { id: "address", label: "Address", class: "line", value: (part) => part.address, show: (part) => part.address && html`<span class="mono">${part.address}</span>` },
  { id: "detail", label: "About", value: (part) => part.detail },
];

const findings = [
  { id: "check", label: "Check", head: true, class: "line", value: (finding) => finding.check },
  { id: "state", label: "State", class: "line", value: word, show: (finding) => html`<${Chip} word=${word(finding)} tone=${{ ok: "good", wrong: "bad", advice: "wait" }[word(finding)]} />` },
  { id: "seen", label: "Seen", class: "text", value: (finding) => finding.seen },
  { id: "mend", label: "How to mend it", class: "text", value: (finding) => (finding.ok ? "" : finding.mend) },
];
