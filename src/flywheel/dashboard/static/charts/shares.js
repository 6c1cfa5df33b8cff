// Shares of a whole as bars, in the order that is given.
import { html, useMemo } from "../lib/ui.js";
import { number, percent } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { names, room } from "./axes.js";

const SHOWN = 20;

// rows: [{name, share, quiet?}]; quiet ones are grey.
export function Shares({ title, rows, caption, label = "share of the records, %" }) {
  const over = useMemo(() => rows, [rows]);
  const shown = rows.slice(0, SHOWN);
  const description = shown.map((row) => `${row.name}: ${percent(row.share)}`).join("; ");
  const more = rows.length > SHOWN ? `the first ${SHOWN} of ${number(rows.length)}` : caption;
  return html`<${Chart} title=${title} description=${description} caption=${more} over=${over} height=${shown.length * 24 + 48} draw=${(Plot, width) => {
    const marginLeft = room(shown.map((row) => row.name), width);
    return {
      marginLeft,
      marginRight: 52,
      x: { label, grid: true, zero: true, ticks: 5 },
      y: { domain: shown.map((row) => row.name), padding: 0.3 },
      marks: [
        names(Plot, marginLeft),
        Plot.barX(shown, { x: (row) => row.share * 100, y: "name", fill: (row) => (row.quiet ? "var(--c7)" : "var(--c0)") }),
        Plot.text(shown, { x: (row) => row.share * 100, y: "name", text: (row) => percent(row.share), textAnchor: "start", dx: 4, fill: "var(--ink)" }),
      ],
    };
  }} />`;
}
