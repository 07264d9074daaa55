/**
 * Every text of the page, and how it writes numbers and dates: the one file to translate.
 *
 * A text with something in it is a function of that something.
 */

/** The language that texts, numbers and dates are written in. */
export const LOCALE = 'en-GB';

const plurals = new Intl.PluralRules(LOCALE);
const whole = new Intl.NumberFormat(LOCALE);
const joined = new Intl.ListFormat(LOCALE, { type: 'conjunction' });

function count(n: number, one: string, other: string): string {
  return `${whole.format(n)} ${plurals.select(n) === 'one' ? one : other}`;
}

/** A length of time in seconds for people: `3 h 12 min`, `45 min`, `20 s`. */
function duration(seconds: number): string {
  if (seconds < 1) return 'a moment';
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}

/** A distance in metres for people: `70 cm`, `3.4 m`, `120 m`. */
function metres(m: number): string {
  if (m < 0.995) return `${Math.round(m * 100)} cm`;
  return `${m < 9.95 ? Number(m.toFixed(1)) : Math.round(m)} m`;
}

export const text = {
  duration,
  metres,
  list: (items: string[]) => joined.format(items),
  brand: 'UdaConnect',
  title: (page: string) => `${page} · UdaConnect`,
  skip: 'Skip to the content',

  nav: {
    label: 'Main',
    people: 'People',
    add: 'Add',
    back: 'Back',
    theme: { auto: 'Colours: as the device', light: 'Colours: light', dark: 'Colours: dark' },
  },

  zone: {
    label: 'All times in',
    event: (name: string) => `${name}, where the event is`,
    device: (name: string) => `${name}, as this device`,
  },

  states: {
    loading: 'Loading…',
    offline: 'You are offline. What was loaded stays here; the rest follows when you are back.',
    retry: 'Try again',
    retrying: 'Trying…',
    unreachable: 'UdaConnect cannot be reached',
    unreachableHelp: 'The service does not answer. It may be restarting: this page tries again every few seconds.',
    busy: 'UdaConnect is busy',
    busyHelp: 'The service asked us to wait. This page tries again every few seconds.',
    failed: 'Something went wrong',
    failedHelp: 'Reload the page. If it happens again, tell the people who run UdaConnect.',
    oursHelp: 'It is not your fault. This page tries again every few seconds.',
    tooMuch: 'That is too much at once',
    tooMuchHelp: 'Choose fewer days, or a smaller distance, and it can be answered.',
    refused: 'This cannot be looked up',
    refusedHelp:
      'Something in the address or in what was chosen is out of bounds. Choose again, or begin with the list of people.',
    badDatesHelp: 'Something is wrong with the dates or the time zone. Choose other days.',
    badSearch: 'This cannot be searched for',
    badSearchHelp: 'Try fewer words, or only the last name.',
    nobodyHas: 'Nobody has this number',
    nobodyHasHelp: 'The address may be mistyped, or the person was removed.',
    outdated: (time: string) => `Not up to date: this is as of ${time}.`,
    printed: (n: number) => `Only the first ${whole.format(n)} are printed.`,
    unexpected:
      'The answer of the service could not be understood. A newer version may have been installed: reload the page.',
    reload: 'Reload the page',
    crashed: 'This view could not be shown',
    notFound: 'There is nothing here',
    notFoundHelp: 'The address may be mistyped, or what was here has been removed.',
    toPeople: 'Find a person',
    paused: 'You are offline',
    pausedHelp: 'This view appears when you are back online.',
    more: 'Show more',
    loadingMore: 'Loading more…',
  },

  people: {
    title: 'Whom did you meet?',
    lead: 'Find your name to see everyone who stood beside you.',
    search: 'Name or company',
    clear: 'Clear the search',
    list: 'People',
    searching: 'Searching…',
    found: (n: number, more: boolean) => (more ? `More than ${whole.format(n)} people` : count(n, 'person', 'people')),
    none: (q: string) => `Nobody is called “${q}”`,
    noneHelp: 'Try fewer letters, only the last name, or the company.',
    empty: 'Nobody is here yet',
    emptyHelp: 'Add the first person to begin.',
  },

  person: {
    title: (name: string) => `Whom ${name} met`,
    map: 'Map of a day',
    record: 'Record a location',
    met: (n: number, more: boolean) => (more ? `more than ${whole.format(n)} people` : count(n, 'person', 'people')),
    summary: (first: string, met: string) => `${first} met ${met}`,
    most: (name: string, time: string) => `Most time with ${name}: ${time}.`,
    graph: (first: string, names: string[]) =>
      `${first} in the middle, and around: ${joined.format(names)}, the nearer the longer together.`,
    listLabel: 'People met, most time together first',
    together: 'together',
    times: (n: number) => count(n, 'encounter', 'encounters'),
    nearest: (m: number) => `${metres(m)} at the nearest`,
    last: (when: string) => `last ${when}`,
    noLocations: (first: string) => `No locations of ${first} yet`,
    noLocationsHelp:
      'Once a phone sends where it is, the people nearby appear here. You can also record a location by hand.',
    nobody: (first: string) => `${first} met nobody like this`,
    nobodyHelp: 'Look a little wider:',
    wider: 'At the same booth',
    widest: 'Nearby',
    allDays: 'All days',
    anyLength: 'However short',
    asking: 'Looking again…',
    otherDays: (shown: string, first: string) => `Shown: ${shown}. ${first} was also seen on other days:`,
    moreDays: (n: number) => `And ${whole.format(n)} more; choose them by date.`,
  },

  filter: {
    title: 'What counts as meeting',
    days: 'When',
    allDays: (n: number) => (n === 1 ? 'The day' : `All ${n} days`),
    otherDates: 'Other dates',
    from: 'From',
    to: 'To',
    noDay: 'Give a whole date',
    fromLater:
      'This is after “To”. Choose an earlier day here or a later one there; until then these dates do not count.',
    toEarlier:
      'This is before “From”. Choose a later day here or an earlier one there; until then these dates do not count.',
    near: 'How near',
    presets: { arm: 'Arm’s reach', booth: 'Same booth', nearby: 'Nearby', exact: 'Exact…' },
    explained: (distance: number, minutes: number) =>
      minutes === 0
        ? `Within ${metres(distance)}, at the very same time`
        : `Within ${metres(distance)}, seen there within ${count(minutes, 'minute', 'minutes')} of each other`,
    distance: 'Metres',
    distanceHelp: 'More than 0, up to 1,000',
    within: 'Minutes apart',
    withinHelp: '0 to 1,440',
    atLeast: 'Together for at least',
    lengths: (minutes: number) => (minutes === 0 ? 'however short' : duration(minutes * 60)),
  },

  pair: {
    title: (a: string, b: string) => `${a} and ${b}`,
    together: 'together',
    encounters: (n: number) => (n === 1 ? 'encounter' : 'encounters'),
    nearest: 'at the nearest',
    last: 'last met',
    timeline: 'When',
    where: 'Where',
    list: 'Every encounter',
    span: (from: string, to: string) => (from === to ? from : `${from} – ${to}`),
    how: (seconds: number, m: number) => `${duration(seconds)}, ${metres(m)} at the nearest`,
    point: (n: number, when: string, m: number) => `Encounter ${n}: ${when}, ${metres(m)} apart`,
    onMap: 'Show on the map',
    none: (a: string, b: string) => `${a} and ${b} did not meet`,
    noneHelp: 'Not in this range, and not this near. Look a little wider:',
    self: 'Nobody meets themself',
  },

  day: {
    title: (first: string) => `${first}’s day`,
    days: 'Day',
    time: 'Time of day',
    play: 'Play the day',
    pause: 'Pause',
    with: (n: number) => `With ${whole.format(n)}:`,
    company: (names: string[]) => `With ${whole.format(names.length)}: ${joined.format(names)}`,
    at: (time: string, company: string) => `${time}. ${company}`,
    nobody: 'Nobody near',
    unknown: 'No location at this time',
    asking: 'Finding out who was near…',
    unsure: 'It is not known who was near',
    list: 'Encounters of the day',
    listHelp: (n: number, people: number) =>
      `${count(n, 'encounter', 'encounters')} with ${count(people, 'person', 'people')}.`,
    cut: 'There are more than can be drawn; choose a smaller distance to see all.',
    moreHere: (n: number) => `And ${whole.format(n)} more in the list.`,
    empty: 'No locations on this day',
    emptyHelp: 'Choose another day.',
    alone: 'Nobody was near on this day.',
    point: (badge: string, name: string, when: string, m: number) => `${badge}, ${name}: ${when}, ${metres(m)} apart`,
    cluster: (n: number, names: string[]) => `${count(n, 'encounter', 'encounters')} here: ${joined.format(names)}`,
    here: 'Met here',
    seePair: (name: string) => `All encounters with ${name}`,
    close: 'Close',
    truncated: 'The day has more locations than can be drawn; its later part is missing.',
  },

  map: {
    label: 'Map',
    loading: 'Drawing the map…',
    failed: 'The map could not be loaded',
    fit: 'Show everything',
    zoomIn: 'Zoom in',
    zoomOut: 'Zoom out',
    points: 'Encounters on the map; the arrow keys go from one to the next',
    backToList: 'Back to the list',
  },

  add: {
    title: 'Add a person',
    lead: 'They can be found at once. Their phone then sends locations under their number.',
    first: 'First name',
    last: 'Last name',
    company: 'Company',
    submit: 'Add',
    busy: 'Adding…',
    done: (name: string) => `${name} was added.`,
    locationHint: 'To record a location, find the person first.',
  },

  record: {
    title: 'Record a location',
    lead: (name: string) => `Where was ${name}?`,
    latitude: 'Latitude',
    latitudeHelp: '−90 to 90; north is positive',
    longitude: 'Longitude',
    longitudeHelp: '−180 to 180; east is positive',
    time: 'When',
    timeHelp: (zone: string) => `In ${zone}. Empty: now`,
    accuracy: 'Accuracy in metres',
    accuracyHelp: 'May be empty',
    here: 'Use where this device is',
    locating: 'Asking the device…',
    denied: 'The device did not tell where it is. Allow it in the browser, or type the coordinates.',
    submit: 'Record',
    busy: 'Recording…',
    stored: (name: string, when: string) => `A location of ${name} at ${when} was recorded.`,
    never: (zone: string) => `This is no time in ${zone}: the clocks are put forward over it, or there is no such day.`,
    twice: (zone: string) => `In ${zone} this time comes twice, since the clocks are put back. The first is recorded.`,
    seeDay: 'Show that day',
    queued: (name: string) => `A location of ${name} is on its way; it appears in a moment.`,
  },

  form: {
    failed: 'This could not be saved',
    check: 'Please look at the marked fields.',
    gone: 'It is no longer there. Go back to the list of people.',
    later: 'UdaConnect is busy or being repaired. Try again in a moment.',
    refused: 'Something in it is not allowed.',
  },
};
