import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../scripts/llama_server.py', import.meta.url));

/** A Python that has xllamacpp: MALLOWS_LLAMA_PYTHON, or `python3` if it can import it. */
export function llamaPython(): string | undefined {
  const python = process.env.MALLOWS_LLAMA_PYTHON ?? 'python3';
  return spawnSync(python, ['-c', 'import xllamacpp']).status === 0 ? python : undefined;
}

/** Serves a GGUF with llama.cpp until it is stopped. */
export async function startLlamaServer(python: string, model: string, context: number) {
  const child = spawn(python, [SCRIPT, model, '--context', String(context)]);
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-4000);
  });
  const exited = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => {
      resolve((JSON.parse(line) as { url: string }).url);
    });
    child.on('close', () => reject(new Error(`llama.cpp did not start:\n${errors}`)));
  });
  return {
    url,
    stop: async () => {
      child.stdin.end();
      child.kill();
      await exited;
    },
  };
}
