// jsdiff: two texts, word by word.
export { diffWordsWithSpace } from "diff";
