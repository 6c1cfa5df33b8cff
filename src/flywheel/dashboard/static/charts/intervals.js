// Scores with their intervals, one line per system: a dot on a rule. Base models are hollow, the teacher is a diamond.
import { html, useMemo } from "../lib/ui.js";
import { percent, span } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { colour, named } from "./axes.js";

// systems: [{name, role, value, interval}], shares from 0 to 1.
export function Intervals({ title, systems, marks = {}, chosen, caption, label = "score, %" }) {
  const over = useMemo(() => [systems, chosen], [systems, chosen]);
  const description = systems.map((each) => `${each.name}: ${percent(each.value)}, interval ${span(each.interval)}`).join("; ");
  return html`<${Chart} title=${title} description=${description} caption=${caption} over=${over} height=${systems.length * 30 + 52} draw=${(Plot, width) => {
    const { marginLeft, label: of } = named(systems.map((each) => each.name), marks, width);
    const rows = systems.map((each) => ({ ...each, at: of(each.name), low: each.interval?.low, high: each.interval?.high }));
    const sized = { y: "at", stroke: (each) => colour(each, chosen), strokeWidth: 2 };
    const dots = { x: (each) => each.value * 100, y: "at", r: 5, stroke: (each) => colour(each, chosen), strokeWidth: 2 };
    return {
      marginLeft,
      marginRight: 20,
      x: { domain: [0, 100], label, grid: true, ticks: width < 400 ? 5 : 10 },
      y: { domain: rows.map((each) => each.at), label: null, tickSize: 0 },
      marks: [
        Plot.ruleY(rows.filter((each) => each.low !== undefined), { ...sized, x1: (each) => each.low * 100, x2: (each) => each.high * 100 }),
        Plot.dot(rows.filter((each) => each.role !== "ceiling"), { ...dots, fill: (each) => (each.role === "base" ? "var(--panel)" : colour(each, chosen)) }),
        Plot.dot(rows.filter((each) => each.role === "ceiling"), { ...dots, symbol: "diamond", fill: (each) => colour(each, chosen) }),
        Plot.tip(rows, Plot.pointerX({ x: (each) => each.value * 100, y: "at", title: (each) => `${each.name}\n${percent(each.value)} (${span(each.interval)})` })),
      ],
    };
  }} />`;
}
