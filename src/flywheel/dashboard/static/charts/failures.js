// Wrong answers by class, one bar per system, in parts.
import { html, useMemo } from "../lib/ui.js";
import { plain } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { Legend } from "../components/legend.js";
import { SERIES, named } from "./axes.js";

const SHOWN = 6;

// of: {system: {class: count}}; classes: the most frequent first. What is beyond the sixth is drawn as one.
export function Failures({ title, of, classes, marks = {} }) {
  const over = useMemo(() => of, [of]);
  const main = classes.slice(0, SHOWN);
  const rest = classes.length > SHOWN;
  const legend = [...main.map((each, at) => [plain(each), SERIES[at]]), ...(rest ? [["others", "var(--c7)"]] : [])];
  const names = Object.keys(of);
  const description = names.map((name) => `${name}: ${classes.filter((each) => of[name][each]).map((each) => `${of[name][each]} ${plain(each)}`).join(", ") || "none"}`).join("; ");
  return html`<div><${Chart} title=${title} description=${description} over=${over} height=${names.length * 30 + 52} draw=${(Plot, width) => {
    const { marginLeft, label } = named(names, marks, width);
    const parts = names.flatMap((name) => {
      const each = main.map((cause, at) => ({ at: label(name), name, cause: plain(cause), count: of[name][cause] ?? 0, fill: SERIES[at] }));
      const others = classes.slice(SHOWN).reduce((sum, cause) => sum + (of[name][cause] ?? 0), 0);
      return [...each, { at: label(name), name, cause: "others", count: others, fill: "var(--c7)" }];
    });
    return {
      marginLeft,
      marginRight: 20,
      x: { label: "wrong answers", grid: true },
      y: { domain: names.map(label), label: null, tickSize: 0, padding: 0.35 },
      marks: [
        Plot.barX(parts.filter((each) => each.count), { x: "count", y: "at", fill: "fill", stroke: "var(--panel)", strokeWidth: 1 }),
        Plot.ruleX([0], { stroke: "var(--edge)" }),
      ],
    };
  }} /><${Legend} of=${legend} /></div>`;
}
