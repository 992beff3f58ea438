/**
 * Signatures by people's ssh keys, made and checked by `ssh-keygen -Y` (OpenSSH 8.2 and later), whose format and rules for allowed signers
 * (ssh-keygen(1), "ALLOWED SIGNERS") are used as they are. Never reads a private key itself; agents and hardware keys work. Node only.
 */
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { GamedayError, messageOf } from './errors';
import { run, type RunResult } from './process';

/** A person may have to type a passphrase, or touch a key. */
const SIGN_TIMEOUT_MS = 120_000;
const VERIFY_TIMEOUT_MS = 10_000;

async function sshKeygen(args: readonly string[], input: string, timeoutMs: number): Promise<RunResult> {
  try {
    return await run(['ssh-keygen', ...args], { timeoutMs, input });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new GamedayError('tool_missing', 'ssh-keygen is not on the PATH', 'install OpenSSH’s client (8.2 or later).');
    throw error;
  }
}

/**
 * An armored SSHSIG over exactly this text. `key`: path of a private key, in OpenSSH's form or PEM, or of a public one whose private key an agent holds.
 * Throws `approval_failed`.
 */
export async function signText(request: { readonly text: string; readonly key: string; readonly namespace: string }): Promise<string> {
  const { text, key, namespace } = request;
  const sign = (file: string): Promise<RunResult> => sshKeygen(['-Y', 'sign', '-f', file, '-n', namespace], text, SIGN_TIMEOUT_MS);
  let { code, stdout, stderr } = await sign(key);
  // A key without its public half beside it is asked for it, and both are shown to ssh-keygen under one name.
  if (code !== 0 && stderr.includes('load public key') && existsSync(key))
    ({ code, stdout, stderr } = await withPublicHalf(key, sign, { code, stdout, stderr }));
  if (code === 0 && stdout.startsWith('-----BEGIN SSH SIGNATURE-----')) return stdout;
  throw new GamedayError('approval_failed', `ssh-keygen could not sign with ${key}: ${lastLine(stderr) || `exit ${code}`}`);
}

async function withPublicHalf(key: string, sign: (file: string) => Promise<RunResult>, failed: RunResult): Promise<RunResult> {
  const told = await sshKeygen(['-y', '-f', key], '', SIGN_TIMEOUT_MS);
  if (told.code !== 0) return failed;
  const dir = mkdtempSync(join(tmpdir(), 'gameday-signature-'));
  try {
    const file = join(dir, 'key');
    symlinkSync(resolve(key), file);
    writeFileSync(`${file}.pub`, told.stdout);
    return await sign(file);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export type SignatureCheck =
  { readonly good: true; /** Fingerprint of the key, `SHA256:…`. */ readonly key: string } | { readonly good: false; readonly why: string };

/** Is this a signature of `identity` over the text, by a key that `allowedSigners` (the file's text) gives that name now? Throws `tool_missing`. */
export async function checkSignature(request: {
  readonly text: string;
  readonly signature: string;
  readonly identity: string;
  readonly allowedSigners: string;
  readonly namespace: string;
}): Promise<SignatureCheck> {
  const { text, signature, identity, allowedSigners, namespace } = request;
  const dir = mkdtempSync(join(tmpdir(), 'gameday-signature-'));
  try {
    const [signers, file] = [join(dir, 'allowed_signers'), join(dir, 'signature')];
    writeFileSync(signers, allowedSigners, { mode: 0o600 });
    writeFileSync(file, signature, { mode: 0o600 });
    const args = ['-Y', 'verify', '-f', signers, '-I', identity, '-n', namespace, '-s', file];
    const { code, stdout, stderr } = await sshKeygen(args, text, VERIFY_TIMEOUT_MS);
    const key = / key (SHA256:\S+)/.exec(stdout)?.[1];
    if (code === 0 && key !== undefined) return { good: true, key };
    return { good: false, why: (lastLine(stderr) || lastLine(stdout) || `exit ${code}`).replaceAll(dir, '') };
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'tool_missing') throw error;
    return { good: false, why: messageOf(error) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The key that made this signature over the text, whoever's it is. Throws `tool_missing`. */
export async function keyOfSignature(request: {
  readonly text: string;
  readonly signature: string;
  readonly namespace: string;
}): Promise<SignatureCheck> {
  const { text, signature, namespace } = request;
  const dir = mkdtempSync(join(tmpdir(), 'gameday-signature-'));
  try {
    const file = join(dir, 'signature');
    writeFileSync(file, signature, { mode: 0o600 });
    const { code, stdout, stderr } = await sshKeygen(['-Y', 'check-novalidate', '-n', namespace, '-s', file], text, VERIFY_TIMEOUT_MS);
    const key = / key (SHA256:\S+)/.exec(stdout)?.[1];
    if (code === 0 && key !== undefined) return { good: true, key };
    return { good: false, why: (lastLine(stderr) || lastLine(stdout) || `exit ${code}`).replaceAll(dir, '') };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
