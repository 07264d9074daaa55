import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** The project's directory. */
export const ROOT = join(import.meta.dirname, '..', '..');

/** Longest wait for anything, in milliseconds. */
const PATIENCE = 120_000;

/** Runs a command of the project to its end; its output. What it says on the way goes to the terminal. */
export async function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const running = promisify(execFile)(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  running.child.stderr?.pipe(process.stderr);
  return (await running).stdout;
}

/** A role of the real program, running. */
export interface Program {
  /** Waits for a log line with this message; its field `address`. */
  address: (message: string) => Promise<string>;
  stop: () => Promise<void>;
}

/** Starts a role on ports that the system chooses. */
export function start(binary: string, role: string, env: Record<string, string>): Program {
  const child: ChildProcess = spawn(binary, [role], {
    cwd: ROOT,
    env: { LOG_FORMAT: 'json', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  if (child.stderr)
    createInterface(child.stderr).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  const ended = once(child, 'exit');
  return {
    address: (message) =>
      new Promise((resolve, reject) => {
        const fail = (why: string) => {
          waiting.delete(look);
          reject(new Error(`${role} ${why} before it said "${message}":\n${lines.join('\n')}`));
        };
        const timer = setTimeout(() => {
          fail('took too long');
        }, PATIENCE);
        const look = () => {
          for (const line of lines) {
            if (!line.startsWith('{')) continue;
            const entry = JSON.parse(line) as { message?: string; address?: string };
            if (entry.message !== message || entry.address === undefined) continue;
            clearTimeout(timer);
            waiting.delete(look);
            resolve(entry.address);
            return;
          }
        };
        waiting.add(look);
        void ended.then(() => {
          clearTimeout(timer);
          fail('ended');
        });
        look();
      }),
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
