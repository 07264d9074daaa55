import { useNavigate } from 'react-router';
import type { Connection, Person } from '../api/schema';
import { fullName, hue, initials } from '../lib/person';
import { text } from '../text';

const WIDTH = 400;
const HEIGHT = 300;
const CENTRE = { x: WIDTH / 2, y: HEIGHT / 2 - 7 };
const MOST = 9;

interface Star {
  connection: Connection;
  x: number;
  y: number;
  r: number;
  /** Whether its name goes above it, so that the line to the middle does not cross it. */
  above: boolean;
  /** Time together, from the shortest shown (0) to the longest (1). */
  share: number;
}

/** Where each person stands: evenly around, the nearer and larger the longer together. */
export function constellation(connections: readonly Connection[]): Star[] {
  const shown = connections.slice(0, MOST);
  const durations = shown.map((connection) => connection.total_duration);
  const longest = Math.max(...durations);
  const shortest = Math.min(...durations);
  // Steps that share no divisor with the number visit every place, and keep the large ones apart.
  const step = shown.length % 2 === 1 ? 2 : 1;
  return shown.map((connection, rank) => {
    const place = shown.length > 0 ? (rank * step) % shown.length : 0;
    const angle = -Math.PI / 2 + 0.35 + (place * 2 * Math.PI) / Math.max(shown.length, 1);
    const share = longest > shortest ? (connection.total_duration - shortest) / (longest - shortest) : 0.5;
    const away = 1 - 0.3 * share;
    return {
      connection,
      x: CENTRE.x + Math.cos(angle) * 164 * away,
      y: CENTRE.y + Math.sin(angle) * 116 * away,
      r: 16 + 9 * share,
      above: Math.sin(angle) < -0.45,
      share,
    };
  });
}

/** A picture of whom a person met. Says nothing that the list beside it does not, so it takes no part in tabbing. */
export function Constellation({
  person,
  connections,
  toPair,
}: {
  person: Person;
  connections: readonly Connection[];
  toPair: (other: Person) => string;
}) {
  const navigate = useNavigate();
  const stars = constellation(connections);
  return (
    <svg
      className="constellation"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={text.person.graph(
        person.first_name,
        stars.map((star) => fullName(star.connection.person)),
      )}
    >
      {stars.map(({ connection, x, y, share }) => (
        <line
          key={connection.person.id}
          className="bond"
          x1={CENTRE.x}
          y1={CENTRE.y}
          x2={x}
          y2={y}
          strokeWidth={1.5 + 5 * share}
        />
      ))}
      <circle className="sun" cx={CENTRE.x} cy={CENTRE.y} r={36} />
      <text className="sun-text" x={CENTRE.x} y={CENTRE.y} dy="0.35em">
        {initials(person)}
      </text>
      {stars.map(({ connection, x, y, r, above }) => (
        <g
          key={connection.person.id}
          className={`star hue-${hue(connection.person.id)}`}
          data-href={toPair(connection.person)}
          onClick={() => void navigate(toPair(connection.person))}
        >
          <circle cx={x} cy={y} r={r} />
          <text x={x} y={y} dy="0.35em">
            {initials(connection.person)}
          </text>
          <text className="star-name" x={x} y={above ? y - r - 7 : y + r + 14}>
            {connection.person.first_name}
          </text>
        </g>
      ))}
    </svg>
  );
}
