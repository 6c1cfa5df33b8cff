// What plots of systems share: the room for their names, and how they are named when there is little.

const LETTER_PX = 6.6;
const FONT_PX = 11.5;
const NARROW_PX = 520;

const longest = (names) => Math.max(...names.map((name) => name.length), 1) * LETTER_PX + 34;

// {marginLeft, label}: names beside the plot where there is room, their letters where there is not.
export function named(names, marks, width) {
  const needed = longest(names);
  if (width < NARROW_PX || needed > width * 0.45) return { marginLeft: 30, label: (name) => marks[name] ?? name };
  return { marginLeft: needed, label: (name) => `${marks[name] ? `${marks[name]}  ` : ""}${name}` };
}

// The room for names that no letters stand for: what the longest needs, and at most two fifths.
export const room = (names, width) => Math.min(longest(names), width * 0.4);

// The axis of names, each cut to the room that there is for it; a title has the whole.
export const names = (Plot, room) => Plot.axisY({ label: null, tickSize: 0, lineWidth: (room - 8) / FONT_PX, textOverflow: "ellipsis" });

// Colours are for what a system is to the question: the chosen one, other candidates, base models, the teacher.
export const colour = (system, chosen) => {
  if (system.name === chosen) return "var(--c0)";
  return { ceiling: "var(--c1)", base: "var(--c7)" }[system.role] ?? "var(--c5)";
};

export const SERIES = ["var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)"];
