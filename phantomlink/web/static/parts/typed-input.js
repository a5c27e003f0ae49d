/** An input whose text stays while it is being typed, however often what is around it is drawn. */

import { html } from "../vendor/preact.js";

/**
 * Pages that show something live are drawn several times a second, and would put the old value
 * back in the middle of a word.
 *
 * @param {{id: string, value: unknown} & Record<string, unknown>} props
 */
export function TypedInput({ id, value, ...rest }) {
  const isTyped = document.activeElement?.id === id;
  // Undefined leaves what the input has.
  return html`<input id=${id} ...${rest} value=${isTyped ? undefined : value} />`;
}
