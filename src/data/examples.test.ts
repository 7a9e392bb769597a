import { describe, expect, it } from 'vitest';
import { jsonLines, withFiles } from '../../tests/support/data.ts';
import { loadPairs } from './pairs.ts';
import { loadPrompts } from './prompts.ts';
import { loadSft } from './sft.ts';

const says = (role: string, content: string) => ({ role, content });
const hh = {
  chosen: '\n\nHuman: Tea?\n\nAssistant: Yes.',
  rejected: '\n\nHuman: Tea?\n\nAssistant: No.',
};

describe('loadSft', () => {
  const load = (content: string, options = {}, name = 'sft.jsonl') =>
    withFiles({ [name]: content }, (path) => loadSft(path(name), options));

  it.each([
    ['prompt-completion', { prompt: 'P', completion: 'C' }, { prompt: 'P', completion: 'C' }],
    ['prompt-completion', { question: 'P', answer: 'C' }, { prompt: 'P', completion: 'C' }],
    [
      'prompt-completion',
      { prompt: [says('user', 'P')], completion: 'C' },
      { prompt: [says('user', 'P')], completion: [says('assistant', 'C')] },
    ],
    [
      'instruction',
      { instruction: 'I', input: 'x', output: 'C' },
      { prompt: [says('user', 'I\n\nx')], completion: [says('assistant', 'C')] },
    ],
    [
      'conversation',
      { messages: [says('user', 'a'), says('assistant', 'b'), says('user', 'c'), says('assistant', 'd')] },
      {
        prompt: [says('user', 'a'), says('assistant', 'b'), says('user', 'c')],
        completion: [says('assistant', 'd')],
      },
    ],
    [
      'instruction',
      { system: 'S', history: [['a', 'b']], instruction: 'I', output: 'C' },
      {
        prompt: [says('system', 'S'), says('user', 'a'), says('assistant', 'b'), says('user', 'I')],
        completion: [says('assistant', 'C')],
      },
    ],
    [
      'prompt-completion',
      { system_prompt: 'S', question: 'P', response: 'C' },
      { prompt: [says('system', 'S'), says('user', 'P')], completion: [says('assistant', 'C')] },
    ],
    [
      'conversation',
      { system: 'S', messages: [says('user', 'a'), says('assistant', 'b')] },
      { prompt: [says('system', 'S'), says('user', 'a')], completion: [says('assistant', 'b')] },
    ],
    [
      'conversation',
      {
        history: [['a', 'b']],
        messages: [says('user', 'a'), says('assistant', 'b'), says('user', 'c'), says('assistant', 'd')],
      },
      {
        prompt: [says('user', 'a'), says('assistant', 'b'), says('user', 'c')],
        completion: [says('assistant', 'd')],
      },
    ],
    ['text', { text: 'T', system: 'S', tools: 'hammer' }, { completion: 'T' }],
    ['hh', hh, { prompt: [says('user', 'Tea?')], completion: [says('assistant', 'Yes.')] }],
    ['generic', { prompt: 'P', chosen: 'C', rejected: 'R' }, { prompt: 'P', completion: 'C' }],
  ])('reads %s rows', async (format, row, expected) => {
    const data = await load(jsonLines(row));
    expect(data.format).toBe(format);
    expect(data.examples).toEqual([{ id: '0', ...expected }]);
  });

  it('reads text files line by line, and converts styles', async () => {
    const lines = await load('One.\n\nTwo.\n', { style: 'chat' }, 'sft.txt');
    expect(lines.examples).toEqual([
      { id: '0', completion: 'One.' },
      { id: '1', completion: 'Two.' },
    ]);
    const text = await load(jsonLines({ instruction: 'I', output: 'C' }), { chatTemplate: false });
    expect(text.examples[0]).toEqual({ id: '0', prompt: '\n\nHuman: I\n\nAssistant:', completion: ' C' });
    const chat = await load(jsonLines({ prompt: 'P', completion: 'C' }), { style: 'chat' });
    expect(chat.examples[0]).toMatchObject({ completion: [says('assistant', 'C')] });
  });

  it('lists empty completions and conversations that end with the person', async () => {
    const ending = { messages: [says('user', 'a')] };
    const { badRows } = await load(jsonLines({ text: 'T' }, { text: ' ' }));
    expect(badRows).toMatchObject([{ line: 2, reason: 'empty-completion' }]);
    await expect(load(jsonLines(ending))).rejects.toMatchObject({ code: 'no-usable-rows' });
  });
});

describe('loadPrompts', () => {
  const load = (content: string, options = {}, name = 'prompts.jsonl') =>
    withFiles({ [name]: content }, (path) => loadPrompts(path(name), options));

  it.each([
    ['prompt', { prompt: 'P' }, 'P'],
    ['prompt', { prompt: 'P', system: 'S' }, [says('system', 'S'), says('user', 'P')]],
    ['instruction', { instruction: 'I', input: 'x', text: 'I x' }, [says('user', 'I\n\nx')]],
    ['text', { text: 'P', system: 'S', input: 'x' }, 'P'],
    // Rows that prefer nothing have prompts all the same.
    ['generic', { prompt: 'P', chosen: 'C', rejected: 'C', dispersion: 1, votes: 'x' }, 'P'],
    ['ultrafeedback', { prompt: 'P', chosen: 'C', rejected: 'R', score_chosen: 'x', score_rejected: 1 }, 'P'],
    [
      'sharegpt',
      { conversations: [{ from: 'human', value: 'P' }], chosen: 'C', rejected: 'R', dispersion: 1 },
      [says('user', 'P')],
    ],
    ['imdb', { Prompt: 'P ', positive_response: 'x', negative_response: 'y' }, 'P'],
    ['shp', { history: 'P', human_ref_A: 'a', human_ref_B: 'b', labels: 2 }, [says('user', 'P')]],
    ['hh', { chosen: hh.chosen, rejected: hh.chosen }, [says('user', 'Tea?')]],
    ['votes', { instruction: 'I', response1: 'a', response2: 'b', annotators: [0] }, [says('user', 'I')]],
    ['ab', { prompt: 'P', response_a: 'a', response_b: 'b', winner: 'tie' }, 'P'],
    ['stack-exchange', { question: '<p>P</p>', answers: [{ text: 'a', pm_score: 1 }] }, [says('user', 'P')]],
    ['conversation', { messages: [says('user', 'a'), says('assistant', 'b')] }, [says('user', 'a')]],
    ['hh', hh, [says('user', 'Tea?')]],
  ])('reads %s rows', async (format, row, prompt) => {
    const data = await load(jsonLines(row));
    expect(data.format).toBe(format);
    expect(data.examples).toEqual([{ id: '0', prompt }]);
  });

  it('reads the prompts that training reads from the same pairs', async () => {
    const chat = (reply: string) => [says('user', 'P'), says('assistant', reply)];
    for (const row of [
      { prompt: 'P', chosen: chat('C'), rejected: chat('R'), score_chosen: 2, score_rejected: 1 },
      { chosen: chat('C'), rejected: chat('R') },
      { instruction: 'P', chosen: 'C', rejected: 'R' },
      { instruction: 'P', input: 'x', chosen: 'C', rejected: 'R' },
      { prompt: 'P', response_a: 'C', response_b: chat('R').slice(1), winner: 'b' },
      { Prompt: 'P ', positive_response: 'P x', negative_response: 'P y' },
      { idx: 7, instruction: 'P', response1: 'C', response2: 'R', annotators: [1] },
      { conversations: [{ from: 'human', value: 'P' }], chosen: 'C', rejected: 'R' },
    ]) {
      const { examples: pairs } = await withFiles({ 'pairs.jsonl': jsonLines(row) }, (path) =>
        loadPairs(path('pairs.jsonl')),
      );
      const { examples } = await load(jsonLines(row));
      expect(examples).toEqual(pairs.map(({ id, prompt }) => ({ id, prompt })));
    }
  });

  it('reads a row that lacks a side, and none without what the file calls its prompt', async () => {
    const chat = (reply: string) => [says('user', 'P'), says('assistant', reply)];
    const pairs = await load(
      jsonLines(
        { prompt: 'P', chosen: 'C', rejected: 'R' },
        { prompt: 'P', chosen: 'C', rejected: null },
        { prompt: 'P', chosen: null, rejected: null },
        { chosen: null, rejected: chat('R') },
      ),
      { format: 'generic' },
    );
    expect(pairs.examples.map(({ prompt }) => prompt)).toEqual(['P', 'P', 'P', [says('user', 'P')]]);
    const { examples, badRows } = await load(jsonLines({ prompt: 'P' }, { instruction: 'I', input: 'x' }));
    expect(examples).toEqual([{ id: '0', prompt: 'P' }]);
    expect(badRows).toMatchObject([{ line: 2, reason: 'missing-field' }]);
  });

  it('reads text files line by line, and converts styles', async () => {
    const { examples } = await load('One?\nTwo?\n', { style: 'chat' }, 'prompts.txt');
    expect(examples[1]).toEqual({ id: '1', prompt: [says('user', 'Two?')] });
    const text = await load(jsonLines(hh), { chatTemplate: false });
    expect(text.examples[0]!.prompt).toBe('\n\nHuman: Tea?\n\nAssistant:');
  });
});
