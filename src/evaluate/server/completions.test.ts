import { describe, expect, it } from 'vitest';
import { chatCompletion, textCompletion } from './completions.ts';

const chat = (content: string | null, finish_reason?: string, more: object = {}) =>
  chatCompletion({ choices: [{ message: { content, ...more }, finish_reason }] });

describe('chatCompletion', () => {
  it('reads whole answers and cut ones, in the words of several servers', () => {
    for (const finish of [undefined, 'stop', 'eos', 'eos_token', 'stop_sequence']) {
      expect(chat('yes', finish)).toEqual({ text: 'yes', finish: 'stop' });
    }
    for (const finish of ['length', 'model_length']) {
      expect(chat('yes', finish)).toEqual({ text: 'yes', finish: 'length' });
    }
    expect(chat('', 'stop')).toEqual({ text: '', finish: 'stop' });
    expect(chat(null, 'length')).toEqual({ text: '', finish: 'length' });
  });

  it.each([
    [null, 'content_filter', 'it sent no text (finish_reason content_filter)'],
    ['Firs', 'content_filter', 'it sent a part of an answer (finish_reason content_filter)'],
    [null, 'tool_calls', 'it sent no text (finish_reason tool_calls)'],
    [null, 'stop', 'it sent no text (finish_reason stop)'],
    [null, undefined, 'it sent no text'],
  ])('takes %j with the finish %j for no answer', (content, finish, message) => {
    expect(() => chat(content, finish)).toThrow(
      expect.objectContaining({ code: 'answer-withheld', message }),
    );
  });

  it('says how a server put its refusal', () => {
    expect(() => chat(null, 'stop', { refusal: 'I will not.' })).toThrow('it refused: I will not.');
  });
});

describe('textCompletion', () => {
  it('keeps to the same', () => {
    const text = (text: string, finish_reason: string) =>
      textCompletion({ choices: [{ text, finish_reason }] });
    expect(text('yes', 'length')).toEqual({ text: 'yes', finish: 'length' });
    expect(() => text('', 'content_filter')).toThrow('it sent no text (finish_reason content_filter)');
  });
});
