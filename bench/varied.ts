interface Message {
  readonly role: string;
  readonly content: string;
}

export interface ChatPair {
  readonly prompt: readonly Message[];
  readonly chosen: readonly Message[];
  readonly rejected: readonly Message[];
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
/** One of so many longer words is changed. */
const CHANGED = 4;
/** Letters put into one: so many that a frequent word has more variants than occurrences. */
const PUT_IN = 3;

/**
 * As many pairs as asked for, made from a few rows, with other words in each of them. Letters, as a tokenizer cuts digits
 * off and finds the word before them known.
 */
export function variedPairs(
  rows: readonly ChatPair[],
  count: number,
): (ChatPair & { readonly id: string })[] {
  return Array.from({ length: count }, (_, id) => {
    let words = 0;
    const varied = (messages: readonly Message[]) =>
      messages.map(({ role, content }) => ({
        role,
        content: content.replace(/[A-Za-z]{4,}/g, (word) => variant(word, hash(id, words++))),
      }));
    const { prompt, chosen, rejected } = rows[id % rows.length]!;
    return { id: `${id}`, prompt: varied(prompt), chosen: varied(chosen), rejected: varied(rejected) };
  });
}

/** The word itself, or letters put into its midst, as the number says. */
function variant(word: string, seed: number): string {
  let rest = seed;
  const draw = (below: number) => {
    const drawn = rest % below;
    rest = Math.floor(rest / below);
    return drawn;
  };
  if (draw(CHANGED) !== 0) return word;
  const cut = 1 + draw(word.length - 1);
  const letters = Array.from({ length: PUT_IN }, () => LETTERS[draw(LETTERS.length)]).join('');
  return word.slice(0, cut) + letters + word.slice(cut);
}

/** 32 bits that look random, of two small numbers: MurmurHash3's finaliser after each. */
function hash(...values: readonly number[]): number {
  let bits = 0;
  for (const value of values) {
    bits = Math.imul(bits, 0x9e3779b1) + value + 1;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    bits ^= bits >>> 16;
  }
  return bits >>> 0;
}
