import { ApiError } from '../api/client';

/** What a form shows after it was refused. */
export interface FormErrors {
  /** By name of the field. */
  fields: Record<string, string>;
  /** What belongs to no field of the form. */
  general: string | null;
}

/** Sorts what the server said by the fields of the form. */
export function formErrors(error: Error | null, known: readonly string[], fallback: string): FormErrors {
  if (!error) return { fields: {}, general: null };
  const said = error instanceof ApiError ? error.fields : [];
  const fields: Record<string, string> = {};
  const rest: string[] = [];
  for (const { field, message } of said) {
    if (known.includes(field)) fields[field] = field in fields ? `${fields[field]}; ${message}` : message;
    else rest.push(`${field} ${message}`);
  }
  if (said.length === 0) rest.push(error instanceof ApiError && error.kind !== 'status' ? fallback : error.message);
  return { fields, general: rest.length > 0 ? rest.join('; ') : null };
}
