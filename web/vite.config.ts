import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** What `serve-app` answers at run time, for `npm run dev`: settings come from the same environment variables. */
function runtimeConfig(): Plugin {
  return {
    name: 'runtime-config',
    configureServer(server) {
      server.middlewares.use('/config.json', (_request, response) => {
        const { API_URL, MAP_TILE_URL, MAP_ATTRIBUTION, EVENT_TIME_ZONE } = process.env;
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({
            api_url: API_URL ?? null,
            map_tile_url: MAP_TILE_URL ?? null,
            map_attribution: MAP_ATTRIBUTION ?? null,
            time_zone: EVENT_TIME_ZONE ?? null,
          }),
        );
      });
    },
  };
}

/** Writes the service worker, with the names of all files of the build and a version that changes when one of them does. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    enforce: 'post',
    async generateBundle(_options, bundle) {
      const source = await readFile(join(import.meta.dirname, 'src', 'sw.js'), 'utf8');
      // The page's own names are in index.html, and the files of assets/ are named by what is in them.
      const page = Object.values(bundle).find((file) => file.fileName === 'index.html');
      const html = page?.type === 'asset' ? page.source : '';
      const files = [
        ...Object.keys(bundle)
          .filter((name) => name.startsWith('assets/'))
          .sort()
          .map((name) => `/${name}`),
        '/favicon.svg',
      ];
      const version = createHash('sha256')
        .update(html)
        .update(files.join(' '))
        .update(source)
        .digest('hex')
        .slice(0, 12);
      this.emitFile({
        type: 'asset',
        fileName: 'sw.js',
        source: source.replace('__VERSION__', version).replace("['__FILES__']", JSON.stringify(files)),
      });
    },
  };
}

/** Writes each text file also compressed, as small as it gets: the server only chooses among them. */
function compressed(): Plugin {
  let folder = '';
  return {
    name: 'compressed',
    apply: 'build',
    configResolved(resolved) {
      folder = join(resolved.root, resolved.build.outDir);
    },
    async closeBundle() {
      for (const name of await readdir(folder, { recursive: true })) {
        if (!/\.(html|js|css|svg)$/.test(name)) continue;
        const path = join(folder, name);
        const bytes = await readFile(path);
        // Below this the header costs more than is saved.
        if (bytes.length < 512) continue;
        const brotli = await promisify(brotliCompress)(bytes, {
          params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
        });
        const gzipped = await promisify(gzip)(bytes, { level: 9 });
        await writeFile(`${path}.br`, brotli);
        await writeFile(`${path}.gz`, gzipped);
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), runtimeConfig(), serviceWorker(), compressed()],
  build: {
    // What a phone of the last three years runs.
    target: ['chrome111', 'edge111', 'firefox114', 'safari16.4'],
    // Nothing as a data: address: the content security policy stays narrow, and everything is cached by its hash.
    assetsInlineLimit: 0,
    sourcemap: false,
  },
  test: {
    environment: 'jsdom',
    globals: true,
    setupFiles: 'src/test/setup.ts',
    include: ['src/**/*.test.{ts,tsx}'],
    env: { TZ: 'UTC' },
    // Machines are shared.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
