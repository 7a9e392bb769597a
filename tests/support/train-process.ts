/** A training run as a process that a test can kill: its argument is a `TinyTraining` in JSON. */
import { type TinyTraining, tinyTraining } from './tiny-training.ts';

await tinyTraining(JSON.parse(process.argv[3]!) as TinyTraining, (event) => {
  if (event.type === 'step') process.stdout.write(`step ${event.step}\n`);
});
