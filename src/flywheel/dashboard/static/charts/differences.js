// Differences in points with their intervals; a dashed line is the margin that an interval must stay right of.
import { html, useMemo } from "../lib/ui.js";
import { points, span } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { named } from "./axes.js";

// rows: [{name, value, interval, passes}], in shares.
export function Differences({ title, rows, marks = {}, margin, caption }) {
  const over = useMemo(() => [rows, margin], [rows, margin]);
  const description = rows.map((each) => `${each.name}: ${points(each.value)} points, ${span(each.interval, { signed: true })}`).join("; ");
  return html`<${Chart} title=${title} description=${description} caption=${caption} over=${over} height=${rows.length * 30 + 52} draw=${(Plot, width) => {
    const { marginLeft, label } = named(rows.map((each) => each.name), marks, width);
    const shown = rows.map((each) => ({ ...each, at: label(each.name) }));
    const tone = (each) => (each.passes ? "var(--good)" : "var(--c0)");
    return {
      marginLeft,
      marginRight: 20,
      x: { label: "difference in points", grid: true, nice: true },
      y: { domain: shown.map((each) => each.at), label: null, tickSize: 0 },
      marks: [
        Plot.ruleX([0], { stroke: "var(--edge)" }),
        margin === undefined ? null : Plot.ruleX([-margin * 100], { stroke: "var(--bad)", strokeDasharray: "4 3" }),
        Plot.ruleY(shown, { y: "at", x1: (each) => each.interval.low * 100, x2: (each) => each.interval.high * 100, stroke: tone, strokeWidth: 2 }),
        Plot.dot(shown, { x: (each) => each.value * 100, y: "at", r: 5, fill: tone }),
        Plot.tip(shown, Plot.pointerX({ x: (each) => each.value * 100, y: "at", title: (each) => `${each.name}\n${points(each.value)} points (${span(each.interval, { signed: true })})` })),
      ],
    };
  }} />`;
}
