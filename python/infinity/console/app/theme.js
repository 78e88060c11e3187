// Light, dark, or as the system has it.
import { signal } from "./lib.js";

const STORED = "infinity.theme";
const ORDER = ["system", "light", "dark"];

export const chosen = signal(localStorage.getItem(STORED) ?? "system");

export function theme() {
  document.documentElement.dataset.theme = chosen.value;
}

/** The next of the three. */
export function turn() {
  chosen.value = ORDER[(ORDER.indexOf(chosen.value) + 1) % ORDER.length];
  localStorage.setItem(STORED, chosen.value);
  theme();
}
