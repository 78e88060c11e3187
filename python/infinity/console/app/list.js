// A long list of rows of one height: only those in sight are in the page.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";

const SPARE = 6;

/**
 * Which rows are drawn.
 * @param {number} offset pixels scrolled @param {number} height of what is in sight @param {number} row height of one @param {number} length how many there are
 * @returns {[number, number]} the first, and the one after the last
 */
export function inSight(offset, height, row, length) {
  const first = Math.max(0, Math.floor(offset / row) - SPARE);
  return [Math.min(first, length), Math.min(length, Math.ceil((offset + height) / row) + SPARE)];
}

/** @param {{items: any[], height: number, draw: (item: any, index: number) => any, label: string, more?: () => void, selected?: number}} wanted `more`: the end is near */
export function Rows({ items, height, draw, label, more, selected = -1 }) {
  const box = useRef(null);
  const [range, setRange] = useState([0, 30]);
  const look = () => {
    const element = box.current;
    if (!element) return;
    const offset = Math.max(0, -element.getBoundingClientRect().top);
    const [first, last] = inSight(offset, innerHeight, height, items.length);
    setRange((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    if (more && last >= items.length - 20) more();
  };
  useLayoutEffect(look, [items.length, height]);
  useEffect(() => {
    const options = { passive: true, capture: true };
    addEventListener("scroll", look, options);
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look, options);
      removeEventListener("resize", look);
    };
  });
  useLayoutEffect(() => {
    if (selected < 0 || !box.current) return;
    const top = box.current.getBoundingClientRect().top + selected * height;
    if (top < 120) scrollBy(0, top - 120);
    else if (top + height > innerHeight - 120) scrollBy(0, top + height - innerHeight + 120);
  }, [selected]);
  const [first, last] = range;
  return html`<ul class="rows" ref=${box} aria-label=${label} style=${{ height: `${items.length * height}px` }}>
    ${items.slice(first, last).map((item, index) => html`<li key=${item.id ?? first + index} aria-setsize=${items.length} aria-posinset=${first + index + 1}
      style=${{ transform: `translateY(${(first + index) * height}px)`, height: `${height}px` }}>${draw(item, first + index)}</li>`)}</ul>`;
}

/** Whether the window is narrow, as the style sheet sees it. */
export function useNarrow() {
  const [narrow, setNarrow] = useState(matchMedia("(max-width: 700px)").matches);
  useEffect(() => {
    const media = matchMedia("(max-width: 700px)");
    const changed = () => setNarrow(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  return narrow;
}
