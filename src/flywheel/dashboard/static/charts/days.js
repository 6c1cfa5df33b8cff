// Records per day as bars. Days without any stay empty, since time goes on without them.
import { html, useMemo } from "../lib/ui.js";
import { number, stamp } from "../lib/words.js";
import { Chart } from "../components/chart.js";

const DAY_MS = 86_400_000;
const FEW = 15; // Days that each get a tick of their own.

// days: [{start, count}], seconds since the epoch.
export function Days({ title, days, caption }) {
  const over = useMemo(() => days, [days]);
  const most = days.reduce((best, day) => (day.count > best.count ? day : best), days[0]);
  const description = `${number(days.length)} days with records, most on ${stamp(most.start).slice(0, 10)}: ${number(most.count)}`;
  return html`<${Chart} title=${title} description=${description} caption=${caption} over=${over} height=${180} draw=${(Plot) => {
    const bars = days.map((day) => ({ from: new Date(day.start * 1000), to: new Date(day.start * 1000 + DAY_MS), count: day.count }));
    return {
      marginLeft: 48,
      marginRight: 12,
      x: { type: "utc", label: null, ...(days.length <= FEW && { ticks: "day" }) },
      y: { label: "records", grid: true, zero: true, ticks: 4 },
      marks: [
        Plot.rectY(bars, { x1: "from", x2: "to", y: "count", fill: "var(--c0)", insetLeft: 0.5, insetRight: 0.5 }),
        Plot.ruleY([0], { stroke: "var(--edge)" }),
        Plot.tip(bars, Plot.pointerX({ x: (bar) => new Date((bar.from.getTime() + bar.to.getTime()) / 2), y: "count", title: (bar) => `${bar.from.toISOString().slice(0, 10)}: ${number(bar.count)} records` })),
      ],
    };
  }} />`;
}
