// TanStack Table without a framework: columns, sorting, rows. components/table.js draws what it says.
export { createTable, getCoreRowModel, getSortedRowModel } from "@tanstack/table-core";
