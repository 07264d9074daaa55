/**
 * Keeps the page's own files, so that a reload without a network shows the page and not the browser's own. It keeps nothing
 * that the API says.
 *
 * The page itself always comes from the network when there is one: after an upgrade nobody gets the old one. The build puts
 * the names of the files in, and a version that is another with each of them.
 */
const VERSION = '__VERSION__';
const FILES = ['__FILES__'];
const CACHE = `shell-${VERSION}`;
const CONFIG = '/config.json';

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll([...FILES, CONFIG, '/']))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) =>
        Promise.all(
          names.filter((name) => name.startsWith('shell-') && name !== CACHE).map((name) => caches.delete(name)),
        ),
      )
      .then(() => self.clients.claim()),
  );
});

/** From the network; without one what was kept. */
async function fresh(request, kept) {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await caches.match(kept, { cacheName: CACHE });
    if (found) return found;
    throw error;
  }
}

/** What never changes under its name. */
async function kept(request) {
  return (await caches.match(request, { cacheName: CACHE, ignoreVary: true })) ?? fetch(request);
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  // The API may be on the same address; its answers are none of the page's files, its documentation is no view.
  if (url.pathname.startsWith('/api/')) return;
  if (request.mode === 'navigate') event.respondWith(fresh(request, '/'));
  else if (url.pathname === CONFIG) event.respondWith(fresh(request, CONFIG));
  else if (FILES.includes(url.pathname)) event.respondWith(kept(request));
});
