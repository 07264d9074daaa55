import { ApiError } from '../api/client';
import { text } from '../text';

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
  if (said.length === 0) rest.push(reason(error, fallback));
  return { fields, general: rest.length > 0 ? rest.join('; ') : null };
}

function reason(error: Error, unreachable: string): string {
  if (!(error instanceof ApiError)) return text.states.failedHelp;
  switch (error.kind) {
    case 'unreachable':
      return unreachable;
    case 'unexpected':
      return text.states.unexpected;
    case 'status':
      if (error.status === 404 || error.status === 410) return text.form.gone;
      return error.passing ? text.form.later : text.form.refused;
  }
}
