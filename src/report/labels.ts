import * as Plot from '@observablehq/plot';
import type { Drawing } from './plot.ts';

export interface EndLabel {
  readonly label: string;
  readonly ink: string;
  /** The last point of the series, in data units; a series without one gets no label. */
  readonly at: { readonly x: number; readonly y: number } | undefined;
}

const LINE_HEIGHT = 15;

/**
 * Text marks that name each series at its last point, moved apart vertically where they would overlap.
 * With `beside` the label stays at its point instead of the frame's right edge.
 */
export function endLabels(
  plot: Drawing,
  labels: readonly EndLabel[],
  options: { beside?: boolean } = {},
): Plot.Markish[] {
  const shown = labels
    .filter((label) => label.at !== undefined && label.label !== '')
    .map((label) => ({ ...label, x: plot.toX(label.at!.x), y: plot.toY(label.at!.y) }))
    .sort((a, b) => a.y - b.y);
  spread(shown, plot.top, plot.bottom);
  const right = plot.right;
  return shown.map(({ label, ink, x, y }) => {
    const left = options.beside === true ? Math.min(x, right) : right;
    return Plot.text([label], {
      text: (text: string) => text,
      frameAnchor: 'top-left',
      textAnchor: 'start',
      dx: left - plot.left + 6,
      dy: y - plot.top - 6,
      fill: ink,
      fontWeight: 600,
    });
  });
}

/** Moves sorted positions apart to at least a line's height, keeping them between `top` and `bottom`. */
export function spread(items: { y: number }[], top: number, bottom: number): void {
  for (let index = 1; index < items.length; index += 1) {
    items[index]!.y = Math.max(items[index]!.y, items[index - 1]!.y + LINE_HEIGHT);
  }
  let limit = bottom;
  for (let index = items.length - 1; index >= 0; index -= 1) {
    items[index]!.y = Math.max(top, Math.min(items[index]!.y, limit));
    limit = items[index]!.y - LINE_HEIGHT;
  }
}
