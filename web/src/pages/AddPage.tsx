import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, type SyntheticEvent } from 'react';
import { useNavigate } from 'react-router';
import { addPerson } from '../api/queries';
import { Field } from '../components/Field';
import { Heading } from '../components/Heading';
import { formErrors } from '../lib/formErrors';
import { fullName } from '../lib/person';
import { text } from '../text';

const FIELDS = ['first_name', 'last_name', 'company_name'] as const;

/** Adds a person. */
export function AddPage() {
  const form = useRef<HTMLFormElement>(null);
  const navigate = useNavigate();
  const client = useQueryClient();
  const add = useMutation({
    mutationFn: addPerson,
    networkMode: 'always',
    onSuccess: async (person) => {
      await client.invalidateQueries({ queryKey: ['people'] });
      await navigate(`/people/${person.id}`, { state: { notice: text.add.done(fullName(person)) } });
    },
  });
  const { fields, general } = formErrors(add.error, FIELDS, text.states.unreachable);

  useEffect(() => {
    if (add.error) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [add.error]);

  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const value = (name: string) => {
      const entry = data.get(name);
      return typeof entry === 'string' ? entry : '';
    };
    add.mutate({
      first_name: value('first_name'),
      last_name: value('last_name'),
      company_name: value('company_name'),
    });
  };
  return (
    <div className="narrow">
      <Heading title={text.add.title} />
      <p className="lead">{text.add.lead}</p>
      <form ref={form} className="card form" noValidate onSubmit={submit}>
        <Field label={text.add.first} name="first_name" autoComplete="off" required error={fields.first_name} />
        <Field label={text.add.last} name="last_name" autoComplete="off" required error={fields.last_name} />
        <Field label={text.add.company} name="company_name" autoComplete="off" required error={fields.company_name} />
        <FormEnd
          failed={add.isError}
          general={general}
          pending={add.isPending}
          label={add.isPending ? text.add.busy : text.add.submit}
        />
      </form>
      <p className="aside">{text.add.locationHint}</p>
    </div>
  );
}

/** The button of a form, and above it what is wrong with the whole. */
export function FormEnd({
  failed,
  general,
  pending,
  label,
}: {
  failed: boolean;
  general: string | null;
  pending: boolean;
  label: string;
}) {
  return (
    <>
      <div role="alert">
        {failed && (
          <p className="form-error">
            {text.form.failed}. {general ?? text.form.check}
          </p>
        )}
      </div>
      <button type="submit" className="button primary" disabled={pending}>
        {label}
      </button>
    </>
  );
}
