import { LIGHT, SERIES_COLORS, type SeriesColor } from './palette.ts';

/** What tells a series from the others: its colour, and beyond five series the shape of its points and its dashes. */
export interface Look {
  readonly ink: string;
  readonly symbol: (typeof SHAPES)[number]['symbol'];
  readonly dash: string | undefined;
}

const SHAPES = [
  { symbol: 'circle', dash: undefined },
  { symbol: 'square', dash: '5 4' },
  { symbol: 'triangle', dash: '2 2' },
  { symbol: 'diamond', dash: '9 3 2 3' },
  { symbol: 'star', dash: '14 4' },
  { symbol: 'cross', dash: '9 3 2 3 2 3' },
  { symbol: 'wye', dash: '2 6' },
] as const;

interface Asked {
  readonly color?: SeriesColor;
  readonly dashed?: boolean;
}

/**
 * A look for each series, no two alike up to 35 series. Colours and dashes that were asked for come first; the others
 * take the colours in turn, then the same colours with the next shape.
 */
export function looksOf(series: readonly Asked[]): Look[] {
  const count = SERIES_COLORS.length * SHAPES.length;
  const taken = new Set<string>();
  const looks = new Map<number, Look>();
  for (const named of [true, false]) {
    for (const [index, { color, dashed }] of series.entries()) {
      if ((color !== undefined) !== named) continue;
      const places = Array.from({ length: count }, (_, step) => (named ? step : index + step) % count)
        .map((place) => ({
          color: SERIES_COLORS[place % SERIES_COLORS.length]!,
          shape: SHAPES[Math.floor(place / SERIES_COLORS.length)]!,
        }))
        .filter((place) => color === undefined || place.color === color)
        .filter((place) => dashed !== true || place.shape.dash !== undefined);
      const keyOf = (place: (typeof places)[number]) => `${place.color} ${place.shape.symbol}`;
      const place = places.find((one) => !taken.has(keyOf(one))) ?? places[0]!;
      taken.add(keyOf(place));
      looks.set(index, { ink: LIGHT[place.color], ...place.shape });
    }
  }
  return series.map((_, index) => looks.get(index)!);
}
