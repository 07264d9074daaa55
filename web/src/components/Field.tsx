import { useId, type InputHTMLAttributes } from 'react';

interface Props extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  help?: string;
  /** What is wrong with the value, in the words of the server. */
  error?: string | undefined;
}

/** An input with its label, its help, and what is wrong with it right beside it. */
export function Field({ label, help, error, ...input }: Props) {
  const id = useId();
  const described = [help !== undefined && `${id}h`, error !== undefined && `${id}e`].filter(Boolean).join(' ');
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        aria-invalid={error !== undefined}
        {...(described ? { 'aria-describedby': described } : {})}
        {...input}
      />
      {help !== undefined && <small id={`${id}h`}>{help}</small>}
      {error !== undefined && (
        <small id={`${id}e`} className="field-error">
          {error}
        </small>
      )}
    </div>
  );
}
