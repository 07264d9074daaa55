import { join } from 'node:path';
import { ROOT, run, start } from './programs';

const CLUSTER = join(ROOT, '.dev', 'e2e-postgres');

/** The program to test: UDACONNECT_BIN, or one built here with the web app as it is. */
async function binary(): Promise<string> {
  if (process.env.UDACONNECT_BIN !== undefined) return process.env.UDACONNECT_BIN;
  await run('scripts/web.sh', ['build']);
  // As the integration tests build it: `make test` has run them just before, and nothing is built twice.
  await run('cargo', ['test', '--no-run', '--locked', '--test', 'it']);
  const metadata = await run('cargo', ['metadata', '--no-deps', '--format-version', '1', '--locked']);
  const { target_directory } = JSON.parse(metadata) as { target_directory: string };
  return join(target_directory, 'debug', 'udaconnect');
}

/** Starts a database of its own with the demo event in it, and the whole program; what is returned ends both. */
export default async function setup(): Promise<() => Promise<void>> {
  const program = await binary();
  await run('scripts/postgres.sh', ['install']);
  // What an earlier run left that was killed.
  await run('scripts/postgres.sh', ['remove', CLUSTER]);
  await run('scripts/postgres.sh', ['start', CLUSTER, '--fast']);
  const removeCluster = () => run('scripts/postgres.sh', ['remove', CLUSTER]);
  try {
    const database = (await run('scripts/postgres.sh', ['url', CLUSTER])).trim();
    await run(program, ['migrate'], { DATABASE_URL: database });
    await run(program, ['seed', '--persons', process.env.E2E_PERSONS ?? '150'], { DATABASE_URL: database });
    const server = start(program, 'standalone', {
      DATABASE_URL: database,
      API_LISTEN_ADDR: '127.0.0.1:0',
      APP_LISTEN_ADDR: '127.0.0.1:0',
      GRPC_LISTEN_ADDR: '127.0.0.1:0',
      EVENT_TIME_ZONE: 'America/Denver',
    });
    const [api, app] = await Promise.all([server.address('serving the API'), server.address('serving the web app')]);
    // For the tests' own processes.
    process.env.APP_URL = `http://${app}`;
    process.env.E2E_API_URL = `http://${api}`;
    process.env.E2E_DATABASE_URL = database;
    process.env.E2E_BINARY = program;
    return async () => {
      await server.stop();
      await removeCluster();
    };
  } catch (error) {
    await removeCluster();
    throw error;
  }
}
