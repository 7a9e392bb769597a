import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from '../runs/files.ts';
import { LIGHT } from './palette.ts';

/** A finished drawing: one standalone SVG document and the words that stand in for it. */
export interface Figure {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  /** What a reader who cannot see the drawing should know. */
  readonly description: string;
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

const FONTS = ['Inter-Regular.ttf', 'Inter-SemiBold.ttf'].map((file) =>
  fileURLToPath(new URL(`../../assets/fonts/${file}`, import.meta.url)),
);

/** The figure as PNG bytes, `scale` pixels a unit, on white, with the bundled font: the same on every machine. */
export async function renderPng(figure: Figure, scale = 2): Promise<Buffer> {
  const { Resvg } = await import('@resvg/resvg-js');
  const image = new Resvg(figure.svg, {
    background: LIGHT.paper,
    fitTo: { mode: 'zoom', value: scale },
    font: { loadSystemFonts: false, fontFiles: FONTS, defaultFontFamily: 'Inter', sansSerifFamily: 'Inter' },
  }).render();
  return image.asPng();
}

/** Writes `NAME.svg` and `NAME.png` into `directory`; returns the two paths. */
export async function writeFigure(directory: string, figure: Figure): Promise<{ svg: string; png: string }> {
  await mkdir(directory, { recursive: true });
  const svg = join(directory, `${figure.name}.svg`);
  const png = join(directory, `${figure.name}.png`);
  writeFileAtomic(svg, figure.svg);
  writeFileAtomic(png, await renderPng(figure));
  return { svg, png };
}
