// The versions of each tool's schema, when each was seen, and what it said.
import { html, useState } from "../../lib/ui.js";
import { number, short, stamp } from "../../lib/words.js";
import { Dialog } from "../../components/dialog.js";
import { DataTable } from "../../components/table.js";

export function Schemas({ of }) {
  const [shown, setShown] = useState(null);
  const rows = of.flatMap(({ tool, versions }) => versions.map((version, at) => ({ ...version, tool, at: at + 1, of: versions.length, before: versions[at - 1] })));
  const [columns] = useState(() => made(setShown));
  return html`<${DataTable} caption="Versions of the tools" columns=${columns} rows=${rows} rowKey=${(row) => row.sha256 + row.tool} empty="No request offers a tool." />
    ${shown && html`<${Dialog} title=${`${shown.tool}, version ${shown.at}`} onClose=${() => setShown(null)}><pre class="log" tabindex="0">${JSON.stringify(shown.schema, null, 2)}</pre></>`}`;
}

const made = (show) => [
  { id: "tool", label: "Tool", head: true, value: (row) => row.tool },
  { id: "version", label: "Version", align: "n", value: (row) => row.at, show: (row) => `${row.at} of ${row.of}` },
  { id: "first", label: "First seen", class: "line", value: (row) => row.first, show: (row) => stamp(row.first).slice(0, 16) },
  { id: "last", label: "Last seen", class: "line", value: (row) => row.last, show: (row) => stamp(row.last).slice(0, 16) },
  { id: "count", label: "Requests", align: "n", value: (row) => row.count, show: (row) => number(row.count) },
  { id: "hash", label: "Schema", class: "line", sortable: false, value: (row) => row.sha256, show: (row) => html`<button type="button" class="button" onClick=${() => show(row)}><code>${short(row.sha256)}</code></button>` },
];
