// Scores over time: each evaluation is a dot with its interval, joined by what was measured.
import { html, useMemo } from "../lib/ui.js";
import { number, percent, span, stamp } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { Legend } from "../components/legend.js";
import { SERIES } from "./axes.js";

const SHOWN = SERIES.length;

// series: [{name, points: [{at, value, low, high, n}]}], `at` a Date; `share` where values are from 0 to 1.
export function Times({ title, series, share, caption }) {
  const over = useMemo(() => [series, share], [series, share]);
  const shown = series.slice(0, SHOWN);
  const scale = share ? 100 : 1;
  const say = (point) => (share ? `${percent(point.value)} (${span(point)})` : `${number(point.value)} (${span(point, { plain: true })})`);
  const description = shown.map((each) => `${each.name}: ${each.points.length} evaluations, the last ${say(each.points.at(-1))}`).join("; ");
  return html`<div><${Chart} title=${title} description=${description} caption=${series.length > SHOWN ? `${SHOWN} of ${series.length} systems` : caption} over=${over} height=${320} draw=${(Plot) => {
    const dots = shown.flatMap((each, at) => each.points.map((point) => ({ ...point, name: each.name, colour: SERIES[at], y: point.value * scale, from: point.low * scale, to: point.high * scale })));
    return {
      marginLeft: 44,
      marginRight: 20,
      x: { type: "utc", label: null, nice: true },
      marginTop: 28,
      y: { label: share ? "score, %" : "score", grid: true, ...(share ? { domain: [0, 100] } : { nice: true }) },
      marks: [
        Plot.lineY(dots, { x: "at", y: "y", z: "name", stroke: "colour", strokeWidth: 1.25, strokeOpacity: 0.6 }),
        Plot.ruleX(dots.filter((each) => Number.isFinite(each.from) && Number.isFinite(each.to)), { x: "at", y1: "from", y2: "to", stroke: "colour", strokeWidth: 2 }),
        Plot.dot(dots, { x: "at", y: "y", r: 4, fill: "colour" }),
        Plot.tip(dots, Plot.pointerX({ x: "at", y: "y", title: (each) => `${each.name}\n${say(each)}, n = ${number(each.n)}\n${stamp(each.at.getTime() / 1000)}` })),
      ],
    };
  }} /><${Legend} of=${shown.map((each, at) => [each.name, SERIES[at], "dot"])} /></div>`;
}
