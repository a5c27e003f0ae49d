/** Sliders for the transforms of a perturbation, from the server's own schema. */

import { html } from "../vendor/preact.js";
import { fieldsOf, newTransform, positionOf, transformKinds, valueAt } from "../core/perturbation-form.js";
import { TypedInput } from "./typed-input.js";

/**
 * @param {{schema: any, transforms: any[], onChange: (transforms: any[]) => void}} props
 */
export function PerturbationFields({ schema, transforms, onChange }) {
  const kinds = transformKinds(schema);
  const set = (/** @type {number} */ i, /** @type {any} */ changes) =>
    onChange(transforms.map((each, at) => (at === i ? { ...each, ...changes } : each)));
  const add = (/** @type {any} */ event) => {
    const kind = kinds.find((each) => each.title === event.target.value);
    event.target.value = "";
    if (kind) onChange([...transforms, newTransform(kind)]);
  };
  return html`<div class="transforms">
    ${transforms.map((transform, i) => {
      const kind = kinds.find((each) => each.title === transform.kind);
      if (kind === undefined) return null;
      return html`<fieldset key=${`${i}-${transform.kind}`}>
        <legend>${words(transform.kind)}</legend>
        <p class="dim small">${kind.description}</p>
        ${fieldsOf(kind).map((field) => html`<${Field} field=${field} id=${`t${i}-${field.name}`} value=${transform[field.name] ?? null} onChange=${(/** @type {any} */ value) => set(i, { [field.name]: value })} />`)}
        <button class="plain" type="button" onClick=${() => onChange(transforms.filter((_, at) => at !== i))}>Remove ${words(transform.kind)}</button>
      </fieldset>`;
    })}
    <label>Add a fault
      <select onChange=${add}>
        <option value="">choose…</option>
        ${kinds.map((kind) => html`<option value=${kind.title}>${words(kind.title)}</option>`)}
      </select>
    </label>
  </div>`;
}

/** @param {{field: any, id: string, value: any, onChange: (value: any) => void}} props */
function Field({ field, id, value, onChange }) {
  const label = words(field.name);
  if (field.isList) {
    const parse = (/** @type {any} */ event) => {
      const list = event.target.value.split(/[\s,]+/).filter(Boolean).map(Number);
      onChange(list.length ? list : null);
    };
    return html`<label for=${id} title=${field.description}>${label}
      <${TypedInput} id=${id} value=${value?.join(" ") ?? ""} placeholder="none" onChange=${parse} /></label>`;
  }
  const slide = (/** @type {any} */ event) => onChange(valueAt(field, Number(event.target.value)));
  const type = (/** @type {any} */ event) => {
    const text = event.target.value.trim();
    onChange(text === "" && !field.required ? null : Number(text));
  };
  return html`<div class="slider">
    <label for=${id} title=${field.description}>${label}</label>
    <input id=${id} type="range" min="0" max="1000" value=${value === null ? 0 : positionOf(field, value)} onInput=${slide} aria-valuetext=${value === null ? "not set" : String(value)} />
    <${TypedInput} id=${`${id}-number`} type="number" step="any" min=${field.minimum} max=${field.maximum} value=${value ?? ""} onChange=${type} aria-label=${`${label}, number`} />
    <span class="dim small">${field.description}</span>
  </div>`;
}

/** @param {string} name */
export function words(name) {
  return name.replaceAll("_", " ");
}
