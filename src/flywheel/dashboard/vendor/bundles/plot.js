// The marks of Observable Plot that charts use. Loaded when the first chart is shown.
export {
  areaY, axisX, axisY, barX, barY, dot, frame, gridX, gridY, lineY, link, plot, pointerX, rectY, ruleX, ruleY,
  text, tip,
} from "@observablehq/plot";
