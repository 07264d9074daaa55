import { useMutation, useQueryClient } from '@tanstack/react-query';
import { LocateFixed } from 'lucide-react';
import { useEffect, useRef, useState, type SyntheticEvent } from 'react';
import { useNavigate, useParams } from 'react-router';
import { recordLocation } from '../api/queries';
import type { NewLocation, Person } from '../api/schema';
import { Field } from '../components/Field';
import { Heading } from '../components/Heading';
import { PersonUnknown } from '../components/states';
import { formErrors } from '../lib/formErrors';
import { moment, zoneName } from '../lib/format';
import { fullName } from '../lib/person';
import { useChoices, withChoices } from '../lib/search';
import { dayOf, instantsOf, toApi } from '../lib/time';
import { usePerson } from '../lib/usePerson';
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

/** What is wrong with the time before anything is sent: the server gets an instant and cannot tell. */
function wrongTime(typed: string, zone: string): string | undefined {
  if (typed === '') return undefined;
  const instants = instantsOf(typed, zone);
  if (instants.length === 0) return text.record.never(zoneName(zone));
  return undefined;
}

function asked(person: Person, values: Values, zone: string): NewLocation {
  const instant = instantsOf(values.creation_time, zone)[0];
  return {
    person_id: person.id,
    latitude: number(values.latitude),
    longitude: number(values.longitude),
    ...(instant ? { creation_time: toApi(instant) } : {}),
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
  const [choices] = useChoices();
  const { zone } = choices;
  const [unclear, setUnclear] = useState<string>();
  const [values, setValues] = useState(EMPTY);
  const record = useMutation({
    mutationFn: recordLocation,
    networkMode: 'always',
    onSuccess: async (stored) => {
      await client.invalidateQueries();
      const notice = stored
        ? text.record.stored(fullName(person), moment(stored.creation_time, zone))
        : text.record.queued(fullName(person));
      const day = stored && dayOf(stored.creation_time, zone);
      // To where the location shows: the days of the event may be others.
      const there = day !== null ? { ...choices, range: { from: day, to: day } } : choices;
      await navigate(withChoices(`/people/${person.id}`, choices), {
        state: { notice, ...(day !== null ? { more: withChoices(`/people/${person.id}/map`, there) } : {}) },
      });
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
    const wrong = wrongTime(values.creation_time, zone);
    setUnclear(wrong);
    if (wrong === undefined) record.mutate(asked(person, values, zone));
    else form.current?.querySelector<HTMLElement>('[name="creation_time"]')?.focus();
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
        max="9999-12-31T23:59"
        {...field('creation_time')}
        {...(unclear === undefined ? {} : { error: unclear })}
      />
      {instantsOf(values.creation_time, zone).length > 1 && (
        <p className="aside" role="status">
          {text.record.twice(zoneName(zone))}
        </p>
      )}
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
  const person = usePerson(id);
  if (person.data === undefined && (person.error ?? person.paused)) return <PersonUnknown question={person} />;
  return (
    <div className="narrow">
      <Heading title={text.record.title} />
      {person.data ? (
        <>
          <p className="lead">{text.record.lead(fullName(person.data))}</p>
          <RecordForm person={person.data} />
        </>
      ) : (
        <div className="card form skeleton-form" />
      )}
    </div>
  );
}
