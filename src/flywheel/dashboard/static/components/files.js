// The files of a model or a data set, each to be saved.
import { html } from "../lib/ui.js";
import { bytes, number } from "../lib/words.js";
import { Download } from "./links.js";
import { DataTable } from "./table.js";

export const Files = ({ of, rows = false }) => html`<${DataTable} caption="Files" columns=${rows ? withRows : plain} rows=${of} rowKey=${(file) => file.path} empty="No files are kept here." />`;

const plain = [
  { id: "path", label: "File", head: true, value: (file) => file.path, show: (file) => html`<${Download} href=${file.download} name=${file.path} />` },
  { id: "size", label: "Size", align: "n", value: (file) => file.size_bytes, show: (file) => bytes(file.size_bytes) },
];
const withRows = [plain[0], { id: "rows", label: "Rows", align: "n", value: (file) => file.rows ?? undefined, show: (file) => number(file.rows) }, plain[1]];
