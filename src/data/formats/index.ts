import { ab } from './ab.ts';
import type { PairFormat } from './contract.ts';
import { generic, ultrafeedback } from './generic.ts';
import { hh } from './hh.ts';
import { imdb } from './imdb.ts';
import { sharegpt } from './sharegpt.ts';
import { shp } from './shp.ts';
import { stackExchange } from './stack-exchange.ts';
import { votes } from './votes.ts';

/** Every pair format, the more particular before the more general: detection takes the first that fits most rows. */
export const PAIR_FORMATS: readonly PairFormat[] = [
  hh,
  shp,
  stackExchange,
  imdb,
  sharegpt,
  votes,
  ab,
  ultrafeedback,
  generic,
];

export const PAIR_FORMAT_NAMES: readonly string[] = PAIR_FORMATS.map((format) => format.name);
