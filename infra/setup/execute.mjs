// Runs a command without a shell and waits for it. Set-up's only way to start programs; each has a time limit.
import { spawn } from 'node:child_process';

const OUTPUT_LIMIT = 4 * 1024 * 1024;

/**
 * Runs argv and returns { code, stdout, stderr }; code is 127 when the program does not exist, 124 when it did not end in time.
 * With `inherit`, the person sees and answers the program directly and the two texts are empty.
 */
export function execute(argv, { timeoutMs = 600_000, cwd, env = process.env, inherit = false } = {}) {
  const [command, ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: inherit ? 'inherit' : ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let late = false;
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      if (stdout.length < OUTPUT_LIMIT) stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      if (stderr.length < OUTPUT_LIMIT) stderr += text;
    });
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    const end = (code) => {
      clearTimeout(timer);
      resolve({ code: late ? 124 : code, stdout, stderr });
    };
    child.on('error', () => end(127));
    child.on('close', (code) => end(code ?? 128));
  });
}

/** The last lines of a program's output, for a message. */
export function lastLines(result, count = 12) {
  return `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-count).join('\n');
}
