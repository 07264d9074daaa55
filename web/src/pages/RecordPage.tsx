import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { LocateFixed } from 'lucide-react';
import { useEffect, useRef, useState, type SyntheticEvent } from 'react';
import { useNavigate, useParams } from 'react-router';
import { personQuery, recordLocation, type NewLocation } from '../api/queries';
import type { Person } from '../api/schema';
import { Field } from '../components/Field';
import { Heading } from '../components/Heading';
import { Unanswered } from '../components/states';
import { formErrors } from '../lib/formErrors';
import { moment, zoneName } from '../lib/format';
import { fullName } from '../lib/person';
import { useChoices } from '../lib/search';
import { instantOf, toApi } from '../lib/time';
import { text } from '../text';
import { FormEnd } from './AddPage';

const FIELDS = ['latitude', 'longitude', 'creation_time', 'accuracy_m'] as const;
type Values = Record<(typeof FIELDS)[number], string>;
const EMPTY: Values = { latitude: '', longitude: '', creation_time: '', accuracy_m: '' };

/** A number where the text is one; otherwise the text itself, which the server's message then quotes. */
function number(typed: string): number | string {
  // A comma is how much of the world writes a decimal point, and a minus may be a real one.
  const text = typed.trim().replace(',', '.').replace('−', '-');
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

function asked(person: Person, values: Values, zone: string): NewLocation {
  return {
    person_id: person.id,
    latitude: number(values.latitude),
    longitude: number(values.longitude),
    ...(values.creation_time !== '' ? { creation_time: toApi(instantOf(values.creation_time, zone)) } : {}),
    ...(values.accuracy_m.trim() !== '' ? { accuracy_m: number(values.accuracy_m) } : {}),
  };
}

/** Fills in where the device is. */
function Here({ onHere }: { onHere: (values: Partial<Values>) => void }) {
  const [state, setState] = useState<'idle' | 'asking' | 'denied'>('idle');
  // Browsers offer it on secure pages only.
  if (!('geolocation' in navigator) || !window.isSecureContext) return null;
  const ask = () => {
    setState('asking');
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        setState('idle');
        onHere({
          latitude: coords.latitude.toFixed(7),
          longitude: coords.longitude.toFixed(7),
          accuracy_m: coords.accuracy.toFixed(1),
        });
      },
      () => {
        setState('denied');
      },
      { enableHighAccuracy: true, timeout: 15_000 },
    );
  };
  return (
    <div>
      <button type="button" className="button" onClick={ask} disabled={state === 'asking'}>
        <LocateFixed aria-hidden="true" /> {state === 'asking' ? text.record.locating : text.record.here}
      </button>
      <p role="status" className="aside">
        {state === 'denied' && text.record.denied}
      </p>
    </div>
  );
}

function RecordForm({ person }: { person: Person }) {
  const form = useRef<HTMLFormElement>(null);
  const navigate = useNavigate();
  const client = useQueryClient();
  const [{ zone }] = useChoices();
  const [values, setValues] = useState(EMPTY);
  const record = useMutation({
    mutationFn: recordLocation,
    networkMode: 'always',
    onSuccess: async (stored) => {
      await client.invalidateQueries();
      const notice = stored
        ? text.record.stored(fullName(person), moment(stored.creation_time, zone))
        : text.record.queued(fullName(person));
      await navigate(`/people/${person.id}`, { state: { notice } });
    },
  });
  const { fields, general } = formErrors(record.error, FIELDS, text.states.unreachable);

  useEffect(() => {
    if (record.error) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [record.error]);

  const field = (name: keyof Values) => ({
    name,
    value: values[name],
    error: fields[name],
    onChange: (event: { target: { value: string } }) => {
      setValues((old) => ({ ...old, [name]: event.target.value }));
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    record.mutate(asked(person, values, zone));
  };
  return (
    <form ref={form} className="card form" noValidate onSubmit={submit}>
      <Here
        onHere={(here) => {
          setValues((old) => ({ ...old, ...here }));
        }}
      />
      <Field label={text.record.latitude} help={text.record.latitudeHelp} required {...field('latitude')} />
      <Field label={text.record.longitude} help={text.record.longitudeHelp} required {...field('longitude')} />
      <Field
        label={text.record.time}
        help={text.record.timeHelp(zoneName(zone))}
        type="datetime-local"
        {...field('creation_time')}
      />
      <Field
        label={text.record.accuracy}
        help={text.record.accuracyHelp}
        inputMode="decimal"
        {...field('accuracy_m')}
      />
      <FormEnd
        failed={record.isError}
        general={general}
        pending={record.isPending}
        label={record.isPending ? text.record.busy : text.record.submit}
      />
    </form>
  );
}

/** Records where a person was. */
export function RecordPage() {
  const { id = '' } = useParams();
  const person = useQuery(personQuery(id));
  return (
    <div className="narrow">
      <Heading title={text.record.title} />
      {person.data ? (
        <>
          <p className="lead">{text.record.lead(fullName(person.data))}</p>
          <RecordForm person={person.data} />
        </>
      ) : (
        <Unanswered question={person} skeleton={<div className="card form skeleton-form" />} />
      )}
    </div>
  );
}
