/**
 * Advances in the bundled semi-bold, in ems, rounded up within each class; its regular is narrower but for the space. Figures
 * are laid out before anything can measure them, so a label may get a little more room than it takes, never less.
 */
const WIDTHS: readonly (readonly [characters: RegExp, ems: number])[] = [
  [/[ijlI.,:;'! ]/, 0.33],
  [/[frt1()[\]/\\|`]/, 0.43],
  [/[{}"*?^_–-]/, 0.55],
  [/[mwM]/, 0.93],
  [/[a-z]/, 0.63],
  [/[W@%—…→←]/, 1.05],
  [/[A-ZΑ-Ωφ]/, 0.78],
  [/[\u1100-\u1fff\u2e80-\u{10ffff}]/u, 1.4],
];
const OTHER = 0.68;

/** Size of labels and ticks, in units of the figure. */
export const FONT_SIZE = 13;

/** Room that a line of text takes at `FONT_SIZE`. */
export function textWidth(text: string): number {
  let ems = 0;
  for (const character of text) ems += WIDTHS.find(([one]) => one.test(character))?.[1] ?? OTHER;
  return FONT_SIZE * ems;
}

/** Where lines may be broken, best first: between phrases, between words, in a path or a long key. */
const BREAKS: readonly RegExp[] = [/(?<=, )/, /(?<=\s)/, /(?<=[/_,=.-])/];

/** Lines no wider than `width`. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const piece of pieces(text, width, BREAKS)) {
    if (line !== '' && !fits(line + piece, width)) {
      lines.push(line.trimEnd());
      line = '';
    }
    line += piece;
  }
  return [...lines, line.trimEnd()];
}

/** Parts that fit, as large as they can be. */
function pieces(text: string, width: number, [best, ...others]: readonly RegExp[]): string[] {
  if (fits(text, width)) return [text];
  return best === undefined ? [...text] : text.split(best).flatMap((part) => pieces(part, width, others));
}

function fits(text: string, width: number): boolean {
  return textWidth(text.trimEnd()) <= width;
}
