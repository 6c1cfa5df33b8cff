// The score by tool: the chosen system with its interval, its base model and the teacher.
import { html, useMemo } from "../lib/ui.js";
import { percent, span } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { Legend } from "../components/legend.js";
import { colour, names, room } from "./axes.js";

export const SHOWN = 24;

// entries: slices of the axis "tool"; systems: those of the table that are drawn, the chosen one first.
export function Tools({ title, entries, systems, chosen, caption }) {
  const shown = entries.slice(0, SHOWN);
  const over = useMemo(() => [entries, systems], [entries, systems]);
  const description = shown.map((entry) => `${entry.label}: ${systems.map((each) => `${each.name} ${percent(entry.values[each.name])}`).join(", ")}`).join("; ");
  return html`<div><${Chart} title=${title} description=${description} caption=${caption} over=${over} height=${shown.length * 28 + 52} draw=${(Plot, width) => {
    const marginLeft = room(shown.map((entry) => entry.label), width);
    const dots = systems.flatMap((system) => shown.filter((entry) => entry.values[system.name] !== undefined && entry.values[system.name] !== null).map((entry) => ({
      at: entry.label, system, value: entry.values[system.name], interval: entry.intervals[system.name], records: entry.records,
    })));
    const main = dots.filter((each) => each.system.name === chosen && each.interval);
    const fill = (each) => (each.system.role === "base" ? "var(--panel)" : colour(each.system, chosen));
    return {
      marginLeft,
      marginRight: 16,
      x: { domain: [0, 100], label: "score, %", grid: true, ticks: width < 400 ? 5 : 10 },
      y: { domain: shown.map((entry) => entry.label) },
      marks: [
        names(Plot, marginLeft),
        Plot.ruleY(main, { y: "at", x1: (each) => each.interval.low * 100, x2: (each) => each.interval.high * 100, stroke: "var(--c0)", strokeWidth: 2 }),
        Plot.dot(dots, { x: (each) => each.value * 100, y: "at", r: 4.5, symbol: (each) => (each.system.role === "ceiling" ? "diamond" : "circle"), stroke: (each) => colour(each.system, chosen), fill, strokeWidth: 1.75 }),
        Plot.tip(dots, Plot.pointerX({ x: (each) => each.value * 100, y: "at", title: (each) => `${each.at} (${each.records} records)\n${each.system.name}\n${percent(each.value)} (${span(each.interval)})` })),
      ],
      symbol: { range: ["circle", "diamond"], domain: ["circle", "diamond"] },
    };
  }} /><${Legend} of=${systems.map((each) => [each.name, colour(each, chosen), { base: "hollow", ceiling: "diamond" }[each.role]])} /></div>`;
}
