import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Figure, writeFigure } from '../../report/index.ts';
import { writeFileAtomic } from '../../runs/index.ts';

/** Writes report.json, report.html and figures/ into `directory`; returns the paths. */
export async function writeExperiment(
  directory: string,
  report: object,
  figures: readonly Figure[],
  page: string,
): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const drawings: string[] = [];
  for (const figure of figures) {
    const { svg, png } = await writeFigure(join(directory, 'figures'), figure);
    drawings.push(svg, png);
  }
  const [json, html] = [join(directory, 'report.json'), join(directory, 'report.html')];
  writeFileAtomic(html, page);
  writeFileAtomic(json, `${JSON.stringify(report, null, 2)}\n`);
  return [json, html, ...drawings];
}
