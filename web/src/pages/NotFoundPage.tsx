import { Link } from 'react-router';
import { Heading } from '../components/Heading';
import { EmptyState } from '../components/states';
import { text } from '../text';

export function NotFoundPage() {
  return (
    <>
      <Heading title={text.states.notFound} className="visually-hidden" />
      <EmptyState title={text.states.notFound} help={text.states.notFoundHelp}>
        <Link className="button" to="/">
          {text.states.toPeople}
        </Link>
      </EmptyState>
    </>
  );
}
