import * as v from 'valibot';
import { deviceZone, isTimeZone } from './lib/time';

/** What the server that serves this page says about its surroundings. */
export interface Config {
  /** The address of the API, without a slash at its end. */
  apiUrl: string;
  /** Address of map tiles with `{z}`, `{x}`, `{y}`; null for a plain ground. */
  tileUrl: string | null;
  /** What the maker of the tiles wants to be shown. */
  attribution: string | null;
  /** The IANA time zone of the event; null when the operator did not say. */
  eventZone: string | null;
}

const ConfigSchema = v.object({
  api_url: v.nullish(v.string(), null),
  api_port: v.optional(v.number(), 30001),
  map_tile_url: v.nullish(v.string(), null),
  map_attribution: v.nullish(v.string(), null),
  time_zone: v.nullish(v.string(), null),
});

let current: Config | undefined;

/** The configuration; it is loaded before anything is shown. */
export function config(): Config {
  if (!current) throw new Error('the configuration is not loaded yet');
  return current;
}

/** Sets the configuration, from what `/config.json` answered. Without an API address it is this host at the API's port. */
export function setConfig(
  answer: unknown,
  page: Pick<Location, 'protocol' | 'hostname' | 'origin'> = window.location,
): Config {
  const read = v.parse(ConfigSchema, answer);
  current = {
    apiUrl:
      read.api_url === '/'
        ? page.origin
        : (read.api_url ?? `${page.protocol}//${page.hostname}:${read.api_port}`).replace(/\/+$/, ''),
    tileUrl: read.map_tile_url,
    attribution: read.map_attribution,
    eventZone: read.time_zone !== null && isTimeZone(read.time_zone) ? read.time_zone : null,
  };
  return current;
}

/** Asks the server of the page for the configuration. */
export async function loadConfig(): Promise<Config> {
  const response = await fetch('/config.json', { credentials: 'same-origin' });
  if (!response.ok) throw new Error(`/config.json answered ${response.status}`);
  return setConfig(await response.json());
}

/** The time zone to show times in when the address of the page names none. */
export function defaultZone(): string {
  return config().eventZone ?? deviceZone();
}
