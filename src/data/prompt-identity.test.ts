import { describe, expect, it } from 'vitest';
import type { TextOrChat } from './contract.ts';
import { distinctPrompts, lastTurn, promptKey } from './prompt-identity.ts';

const user = (content: string) => ({ role: 'user', content }) as const;
const system = { role: 'system', content: 'Be brief.' } as const;
const reply = { role: 'assistant', content: 'Hello.' } as const;

describe('promptKey', () => {
  it.each<[string, readonly TextOrChat[]]>([
    ['one turn', ['Hi', ' Hi\n', [user('Hi')], '\n\nHuman: Hi\n\nAssistant:', 'Human: Hi\n\nAssistant:']],
    [
      'several turns',
      [
        [user('Hi'), reply, user('Go on')],
        '\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Go on\n\nAssistant:',
      ],
    ],
    [
      'a system turn',
      [
        [system, user('Hi')],
        '\n\nSystem: Be brief.\n\nHuman: Hi\n\nAssistant:',
        [{ ...system }, user('Hi ')],
      ],
    ],
  ])('is one for all writings of %s', (_, writings) => {
    expect(new Set(writings.map(promptKey)).size).toBe(1);
    expect(promptKey(writings[0]!)).toMatch(/^[0-9a-f]{16}$/);
  });

  it('tells prompts apart that differ in a word, a turn or who speaks', () => {
    const prompts = ['Hi', 'hi', [system, user('Hi')], [user('Hi'), reply, user('Hi')], [reply], 'Hello.'];
    expect(new Set(prompts.map(promptKey)).size).toBe(prompts.length);
  });
});

it('the first row of each prompt stands for it', () => {
  const rows = ['Hi', 'Bye', [user('Hi')], ' Bye'].map((prompt, id) => ({ id, prompt }));
  expect(distinctPrompts(rows).map(({ id }) => id)).toEqual([0, 1]);
});

it.each<[TextOrChat, string]>([
  ['Why? \n', 'Why? \n'],
  [[system, user('Hi'), reply, user('Go on')], 'Go on'],
  [[reply], 'Hello.'],
  ['\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Go on\n\nAssistant:', 'Go on'],
  ['Human: Hi\n\nAssistant:', 'Hi'],
  ['He wrote\n\nHuman: Hi\n\nAssistant:', 'He wrote\n\nHuman: Hi\n\nAssistant:'],
])('what was asked last in %j is %j', (prompt, asked) => {
  expect(lastTurn(prompt)).toBe(asked);
});
