import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isModelCard } from './model-card.ts';

/**
 * A repository's README.md is its owner's own text: while others are written it has another name. A card of the model that
 * is replaced would name the wrong one, so it stays under that of `README.before.md`.
 */
export async function keepingReadme(
  directory: string,
  save: () => Promise<void>,
  notice: (message: string) => void,
): Promise<void> {
  const readme = join(directory, 'README.md');
  const kept = `${readme}.kept`;
  // Where an export was killed, the owner's is the one that was put aside.
  if (existsSync(readme) && !existsSync(kept)) {
    if (isModelCard(readme)) {
      const before = unusedName(directory, 'README.before');
      await rename(readme, before);
      notice(`The model card of before is in ${before}.`);
    } else {
      await rename(readme, kept);
    }
  }
  try {
    await save();
  } finally {
    if (existsSync(kept)) {
      await rename(kept, readme);
      notice(`${readme} is left as it was; without it a model card is written.`);
    }
  }
}

/** `README.before.md`, or with the first number that is free. */
function unusedName(directory: string, stem: string): string {
  for (let number = 1; ; number++) {
    const path = join(directory, `${stem}${number === 1 ? '' : `-${number}`}.md`);
    if (!existsSync(path)) return path;
  }
}
