// Latency against cost: median to 95th percentile as a line, at the cost of so many requests. The letters are the table's.
import { html, useMemo } from "../lib/ui.js";
import { milliseconds, number } from "../lib/words.js";
import { Chart } from "../components/chart.js";

// rows: [{name, mark, p50, p95, cost?}]; without costs the systems stand in a row.
export function Speeds({ title, rows, per, caption }) {
  const over = useMemo(() => rows, [rows]);
  const priced = rows.every((each) => each.cost !== undefined && each.cost !== null);
  const description = rows.map((each) => `${each.name}: median ${milliseconds(each.p50)}, 95th percentile ${milliseconds(each.p95)}${priced ? `, cost ${number(each.cost)}` : ""}`).join("; ");
  return html`<${Chart} title=${title} description=${description} caption=${caption} over=${over} height=${priced ? 300 : rows.length * 30 + 52} draw=${(Plot) => {
    const tip = Plot.tip(rows, Plot.pointerX({ x: "p50", y: priced ? "cost" : "mark", title: (each) => `${each.name}\n${milliseconds(each.p50)}, p95 ${milliseconds(each.p95)}${priced ? `\n${number(each.cost)} for ${number(per)}` : ""}` }));
    const y = priced ? "cost" : "mark";
    return {
      marginLeft: priced ? 52 : 30,
      marginRight: 28,
      marginTop: 28,
      x: { label: "latency, ms (median to 95th percentile)", grid: true, nice: true, zero: true },
      y: priced ? { label: `cost of ${number(per)} requests`, grid: true, nice: true, zero: true } : { label: null, domain: rows.map((each) => each.mark) },
      marks: [
        Plot.ruleY(rows, { x1: "p50", x2: "p95", y, stroke: "var(--c0)", strokeWidth: 2 }),
        Plot.dot(rows, { x: "p50", y, r: 5, fill: "var(--c0)" }),
        priced ? Plot.text(rows, { x: "p50", y, text: "mark", dy: -12, fill: "var(--ink)", fontWeight: 600 }) : null,
        tip,
      ],
    };
  }} />`;
}
