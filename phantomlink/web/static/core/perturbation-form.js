/** The server's JSON Schema of a perturbation as fields of a form. Knows no kind by name. */

/**
 * The schema of a perturbation in an OpenAPI document, with what it refers to in its place.
 * @param {any} document
 * @returns {any} null where there is none
 */
export function perturbationSchema(document) {
  const schemas = document?.components?.schemas ?? {};
  /** @param {any} value @returns {any} */
  const resolved = (value) => {
    if (Array.isArray(value)) return value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    const found = /^#\/components\/schemas\/(.+)$/.exec(value.$ref ?? "");
    if (found) return resolved(schemas[found[1]]);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolved(each)]));
  };
  return schemas.Perturbation ? resolved(schemas.Perturbation) : null;
}

/**
 * The kinds of transforms.
 * @param {any} schema of a perturbation, from `/openapi.json`
 * @returns {any[]} their schemas
 */
export function transformKinds(schema) {
  for (const option of schema.oneOf ?? []) {
    const items = option.properties?.transforms?.items;
    if (items?.oneOf) {
      return items.oneOf.map((/** @type {any} */ kind) => {
        const name = kind.properties.kind;
        return { ...kind, title: name.const ?? name.enum?.[0] ?? kind.title };
      });
    }
  }
  return [];
}

/** @param {any} schema @returns {string[]} names of presets */
export function presetNames(schema) {
  return (schema.oneOf ?? []).find((/** @type {any} */ option) => option.enum)?.enum ?? [];
}

/**
 * Fields of one kind: numbers as sliders, everything else as text.
 * @param {any} kind its schema
 * @returns {{name: string, description: string, required: boolean, initial: number | null,
 *   minimum: number, maximum: number, isWhole: boolean, isList: boolean}[]}
 */
export function fieldsOf(kind) {
  return Object.entries(kind.properties)
    .filter(([name]) => name !== "kind")
    .map(([name, form]) => {
      const types = [form.type].flat();
      return {
        name,
        description: form.description ?? "",
        required: (kind.required ?? []).includes(name),
        initial: form.default ?? null,
        minimum: form.minimum ?? 0,
        maximum: form.maximum ?? 1,
        isWhole: types.includes("integer"),
        isList: types.includes("array"),
      };
    });
}

/**
 * A slider is even in its position; a range of many decades is not. So positions run from 0 to
 * 1000 and grow with the square up to 10, beyond which the range is logarithmic.
 * @param {{minimum: number, maximum: number, isWhole: boolean}} field
 * @param {number} position 0 to 1000
 */
export function valueAt({ minimum, maximum, isWhole }, position) {
  const part = position / 1000;
  const span = maximum - minimum;
  let value = minimum + span * part;
  if (span > 10) {
    const least = Math.max(minimum, 0.001);
    value = part === 0 ? minimum : least * (maximum / least) ** part;
  }
  return isWhole ? Math.round(value) : Number(value.toPrecision(3));
}

/**
 * The position of a value; as `valueAt`, the other way.
 * @param {{minimum: number, maximum: number}} field
 * @param {number} value
 */
export function positionOf({ minimum, maximum }, value) {
  const span = maximum - minimum;
  if (span <= 10) return Math.round(((value - minimum) / span) * 1000);
  const least = Math.max(minimum, 0.001);
  if (value <= least) return 0;
  return Math.round((Math.log(value / least) / Math.log(maximum / least)) * 1000);
}

/** A transform of a kind, with a value for each required field. @param {any} kind */
export function newTransform(kind) {
  /** @type {Record<string, any>} */
  const transform = { kind: kind.title };
  const fields = fieldsOf(kind);
  for (const field of fields) {
    if (field.required && !field.isList) transform[field.name] = firstValue(field);
    else if (field.initial !== null) transform[field.name] = field.initial;
  }
  // Where one of several is required, the first that a slider can set.
  for (const option of kind.oneOf ?? []) {
    const name = option.required?.[0];
    const field = fields.find((each) => each.name === name);
    if (field && !field.isList) {
      transform[field.name] = firstValue(field);
      break;
    }
  }
  return transform;
}

/** @param {{minimum: number, maximum: number, isWhole: boolean}} field */
function firstValue(field) {
  const value = field.maximum <= 1 ? field.minimum + 0.2 * (field.maximum - field.minimum) : 1;
  const clamped = Math.min(field.maximum, Math.max(field.minimum, value));
  return field.isWhole ? Math.round(clamped) : clamped;
}

/** What a perturbation is called in a list. @param {any} perturbation */
export function perturbationName(perturbation) {
  if (!perturbation) return "clean";
  if (typeof perturbation === "string") return perturbation;
  return perturbation.name ?? perturbation.preset ?? "custom";
}
