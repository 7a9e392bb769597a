import { fileURLToPath } from 'node:url';

/** A real language model of 260,000 weights. */
export const STORIES = fileURLToPath(
  new URL('../fixtures/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

/** Four pairs of four prompts. */
export const STORY_PAIRS = ['Tom', 'Mia', 'Sam', 'Sue'].map((name) => ({
  id: name,
  prompt: `Once there was a child named ${name}.`,
  chosen: ' It was happy.',
  rejected: ' It was sad.',
}));
