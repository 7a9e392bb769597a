import type { AnswerPair } from '../../src/evaluate/judge/index.ts';

/** Pairs whose answers carry their quality, so that a fake judge can tell: even ids favour A, multiples of five tie. */
export function testPairs(count: number): AnswerPair[] {
  return Array.from({ length: count }, (_, i) => {
    const quality = i % 5 === 0 ? [1, 1] : i % 2 === 0 ? [2, 1] : [1, 2];
    return {
      id: String(i),
      prompt: `Question ${i}?`,
      a: `quality=${quality[0]} answer of A to ${i}`,
      b: `quality=${quality[1]} answer of B to ${i}`,
    };
  });
}

/** An honest judge of `testPairs`: reads the two qualities in the order in which they are shown. */
export function honestVerdict(userMessage: string): string {
  const [first, second] = Array.from(userMessage.matchAll(/quality=(\d)/g), (match) => Number(match[1]));
  const label = first === second ? 'C' : first! > second! ? 'A' : 'B';
  return `Because of their quality.\n[[${label}]]`;
}
