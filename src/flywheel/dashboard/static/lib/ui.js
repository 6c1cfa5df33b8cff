// The one door to Preact: pages and components import what they draw with from here.
export {
  Fragment, h, html, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState,
} from "../vendor/preact.js";
