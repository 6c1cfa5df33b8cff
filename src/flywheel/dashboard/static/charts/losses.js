// Losses by step: the training's as a thin line, the validation's with its points; one colour per candidate.
import { html, useMemo } from "../lib/ui.js";
import { number } from "../lib/words.js";
import { Chart } from "../components/chart.js";
import { Legend } from "../components/legend.js";
import { SERIES } from "./axes.js";

// curves: [{model_name, train: [{step, value}], val: […]}].
export function Losses({ title, curves, height = 260 }) {
  const over = useMemo(() => curves, [curves]);
  const last = (points) => (points.length ? `${number(points.at(-1).value)} after step ${points.at(-1).step}` : "none yet");
  const description = curves.map((each) => `${each.model_name}: training loss ${last(each.train)}, validation loss ${last(each.val)}`).join("; ");
  const legend = curves.flatMap((each, at) => [[`${each.model_name}, training`, SERIES[at % SERIES.length], "line"], ...(each.val.length ? [[`${each.model_name}, validation`, SERIES[at % SERIES.length], "dot"]] : [])]);
  return html`<div><${Chart} title=${title} description=${description} over=${over} height=${height} draw=${(Plot) => {
    const of = (name) => curves.flatMap((each, at) => each[name].map((point) => ({ ...point, model: each.model_name, colour: SERIES[at % SERIES.length] })));
    const train = of("train");
    const val = of("val");
    return {
      marginLeft: 44,
      marginRight: 16,
      marginTop: 26,
      x: { label: "step", grid: false, nice: true },
      y: { label: "loss", grid: true, nice: true, zero: true },
      marks: [
        Plot.lineY(train, { x: "step", y: "value", stroke: "colour", z: "model", strokeWidth: 1.5, strokeOpacity: 0.8 }),
        train.length < 3 ? Plot.dot(train, { x: "step", y: "value", fill: "colour", r: 2 }) : null,
        Plot.lineY(val, { x: "step", y: "value", stroke: "colour", z: "model", strokeWidth: 1.5, strokeDasharray: "5 3" }),
        Plot.dot(val, { x: "step", y: "value", r: 3.5, fill: "var(--panel)", stroke: "colour", strokeWidth: 1.75 }),
        Plot.tip([...train, ...val], Plot.pointerX({ x: "step", y: "value", title: (each) => `${each.model}\nstep ${each.step}: ${number(each.value)}` })),
      ],
    };
  }} /><${Legend} of=${legend} /></div>`;
}
