// A table of rows: TanStack Table keeps columns and order, this file draws them.
//
// A column is {id, label, value, show?, align?, sortable?, hide?, title?}: `value(row)` is what is sorted by and, where
// `show(row)` gives nothing else, what is shown; align "n" for numbers; `hide` "narrow" leaves it out on small screens;
// sortable is true unless the server pages (then give `sort` and `onSort`, or sortable: false).
import { createTable, getCoreRowModel, getSortedRowModel } from "../vendor/table.js";
import { html, useMemo, useRef, useState } from "../lib/ui.js";
import { DASH } from "../lib/words.js";

export function DataTable({ columns, rows, caption, rowKey, initialSort, chosen, rowClass, empty = "Nothing here." }) {
  const [sorting, setSorting] = useState(initialSort ? [initialSort] : []);
  const table = useTable(columns, rows, sorting, setSorting);
  const model = table.getRowModel().rows;
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0"><table class="data">
    <caption class="hidden">${caption}</caption>
    <thead><tr>${table.getFlatHeaders().map((header) => html`<${Head} header=${header} key=${header.id} />`)}</tr></thead>
    <tbody>
      ${model.map((row) => html`<tr key=${rowKey ? rowKey(row.original) : row.id} class=${names(row, chosen, rowClass)} aria-current=${chosen?.(row.original) ? "true" : undefined}>
        ${row.getVisibleCells().map((cell) => html`<${Cell} key=${cell.id} column=${cell.column.columnDef.meta} row=${row.original} />`)}
      </tr>`)}
      ${!model.length && html`<tr><td class="none" colspan=${columns.length}>${empty}</td></tr>`}
    </tbody>
  </table></div>`;
}

function useTable(columns, rows, sorting, setSorting) {
  const made = useRef(null);
  const defined = useMemo(() => columns.map((column) => ({
    id: column.id,
    accessorFn: (row) => column.value?.(row) ?? undefined,
    enableSorting: column.sortable !== false && Boolean(column.value),
    sortUndefined: "last",
    sortingFn: "auto",
    meta: column,
  })), [columns]);
  made.current ??= createTable({ columns: [], data: [], state: {}, onStateChange() {}, renderFallbackValue: null });
  made.current.setOptions((old) => ({
    ...old,
    columns: defined,
    data: rows,
    state: { ...made.current.initialState, sorting },
    onSortingChange: setSorting,
    getCoreRowModel: old.getCoreRowModel ?? getCoreRowModel(),
    getSortedRowModel: old.getSortedRowModel ?? getSortedRowModel(),
  }));
  return made.current;
}

function Head({ header }) {
  const column = header.column.columnDef.meta;
  const order = header.column.getIsSorted();
  const label = html`<span class="label">${column.label}</span>`;
  return html`<th scope="col" class=${place(column)} title=${column.title} aria-sort=${order ? `${order}ending` : undefined}>
    ${header.column.getCanSort()
      ? html`<button type="button" class="sort" onClick=${header.column.getToggleSortingHandler()}>${label}<span class="arrow" aria-hidden="true">${{ asc: "↑", desc: "↓" }[order] ?? ""}</span></button>`
      : label}
  </th>`;
}

function Cell({ column, row }) {
  const shown = column.show ? column.show(row) : column.value(row);
  const found = shown === undefined || shown === null || shown === "" ? DASH : shown;
  const content = column.class === "line" ? html`<div>${found}</div>` : found;
  return column.head ? html`<th scope="row" class=${place(column)}>${content}</th>` : html`<td class=${place(column)}>${content}</td>`;
}

const place = (column) => [column.align, column.hide && `hide-${column.hide}`, column.class].filter(Boolean).join(" ");
const names = (row, chosen, rowClass) => [chosen?.(row.original) && "chosen", rowClass?.(row.original)].filter(Boolean).join(" ");
