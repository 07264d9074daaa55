import { onlineManager } from '@tanstack/react-query';
import { Moon, Plus, Sun, SunMoon, Users, WifiOff, X } from 'lucide-react';
import { useState, useSyncExternalStore } from 'react';
import { Link, NavLink, Outlet, ScrollRestoration, useLocation, useNavigate } from 'react-router';
import { useFocusReturn } from '../lib/focusReturn';
import { applyTheme, nextTheme, savedTheme } from '../lib/theme';
import { text } from '../text';
import { Brand } from './Brand';
import { ErrorState } from './states';

function ThemeButton() {
  const [theme, setTheme] = useState(savedTheme);
  const Icon = { auto: SunMoon, light: Sun, dark: Moon }[theme];
  return (
    <button
      type="button"
      className="icon-button"
      title={text.nav.theme[theme]}
      aria-label={text.nav.theme[theme]}
      onClick={() => {
        const next = nextTheme(theme);
        applyTheme(next);
        setTheme(next);
      }}
    >
      <Icon aria-hidden="true" />
    </button>
  );
}

function useOnline(): boolean {
  return useSyncExternalStore(
    (changed) => onlineManager.subscribe(changed),
    () => onlineManager.isOnline(),
  );
}

/** A message that one view leaves for the next, in the state of the navigation. */
function Notice() {
  const location = useLocation();
  const navigate = useNavigate();
  const state: unknown = location.state;
  const message =
    typeof state === 'object' && state !== null && 'notice' in state && typeof state.notice === 'string'
      ? state.notice
      : undefined;
  const more =
    typeof state === 'object' && state !== null && 'more' in state && typeof state.more === 'string'
      ? state.more
      : undefined;
  return (
    <div role="status" className="notice-area">
      {message !== undefined && (
        <p className="notice">
          <span>
            {message} {more !== undefined && <Link to={more}>{text.record.seeDay}</Link>}
          </span>
          <button
            type="button"
            className="icon-button"
            aria-label={text.day.close}
            onClick={() =>
              void navigate(location.pathname + location.search, { replace: true, preventScrollReset: true })
            }
          >
            <X aria-hidden="true" />
          </button>
        </p>
      )}
    </div>
  );
}

function Header() {
  return (
    <header className="top">
      <a className="skip" href="#content">
        {text.skip}
      </a>
      <Link to="/" className="brand">
        <Brand />
        {text.brand}
      </Link>
      <nav aria-label={text.nav.label}>
        <NavLink to="/" end>
          <Users aria-hidden="true" /> {text.nav.people}
        </NavLink>
        <NavLink to="/add">
          <Plus aria-hidden="true" /> {text.nav.add}
        </NavLink>
      </nav>
      <ThemeButton />
    </header>
  );
}

/** What surrounds every view. */
export function Layout() {
  const online = useOnline();
  useFocusReturn();
  return (
    <>
      <Header />
      {!online && (
        <p className="offline" role="status">
          <WifiOff aria-hidden="true" /> {text.states.offline}
        </p>
      )}
      <main id="content" className="page" tabIndex={-1}>
        <Notice />
        <Outlet />
      </main>
      <ScrollRestoration />
    </>
  );
}

/** Instead of a view that broke: a part of the page that could not be loaded, or a defect. */
export function CrashPage() {
  return (
    <>
      <Header />
      <main id="content" className="page">
        <title>{text.title(text.states.failed)}</title>
        <h1 className="visually-hidden">{text.states.failed}</h1>
        <ErrorState
          title={text.states.crashed}
          help={text.states.unexpected}
          onRetry={() => {
            window.location.reload();
          }}
        />
      </main>
    </>
  );
}
