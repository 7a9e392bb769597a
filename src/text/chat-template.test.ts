import { describe, expect, it } from 'vitest';
import { type ChatMessage, ChatTemplate } from './chat-template.ts';

const hi: ChatMessage[] = [{ role: 'user', content: 'Hi' }];

describe('ChatTemplate', () => {
  it('renders messages, generation prompt and variables', () => {
    const template = new ChatTemplate(
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] | trim }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
    );
    const variables = { bos_token: '<s>' };
    expect(template.render([{ role: 'user', content: ' Hi ' }], { variables })).toBe('<s>[user]Hi\n');
    expect(template.render(hi, { variables, addGenerationPrompt: true })).toBe('<s>[user]Hi\n[assistant]');
  });

  it('trims blocks as transformers does', () => {
    const template = new ChatTemplate(
      '{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n',
    );
    expect(template.render(hi)).toBe('Hi\n');
  });

  it('gives the date in the same words everywhere', () => {
    const template = new ChatTemplate("{{ strftime_now('%d %b %Y, %A %-m %H:%M %p') }}");
    expect(template.render([], { now: new Date(2026, 2, 7, 15, 4) })).toBe(
      '07 Mar 2026, Saturday 3 15:04 PM',
    );
  });

  it('takes the default of several named templates', () => {
    const template = new ChatTemplate([
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ]);
    expect(template.render(hi)).toBe('plain');
    expect(
      () =>
        new ChatTemplate([
          { name: 'a', template: '' },
          { name: 'b', template: '' },
        ]),
    ).toThrowError(/None of the chat templates \(a, b\) is named "default"/);
  });

  it('passes on why a template refuses a conversation', () => {
    const template = new ChatTemplate(
      "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}",
    );
    expect(template.render(hi)).toBe('');
    expect(() => template.render([{ role: 'assistant', content: 'x' }])).toThrowError(
      expect.objectContaining({
        code: 'chat-template-render',
        message: 'The chat template refuses this conversation: user first (roles: assistant).',
      }),
    );
  });

  it('names the problem of a broken template', () => {
    expect(() => new ChatTemplate('{% for %}')).toThrowError(
      expect.objectContaining({ code: 'chat-template-syntax' }),
    );
    expect(() => new ChatTemplate('{{ messages[0].content.nope() }}').render(hi)).toThrowError(
      expect.objectContaining({ code: 'chat-template-render' }),
    );
    expect(() => new ChatTemplate("{{ strftime_now('%Q') }}").render(hi)).toThrowError(/no directive %Q/);
  });

  it('counts like Python', () => {
    expect(new ChatTemplate('{% for i in range(3) %}{{ i }}{% endfor %}').render([])).toBe('012');
    expect(new ChatTemplate('{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}').render([])).toBe('531');
  });

  it.each([
    ["m.lstrip('\\n')", '\n\n  x \n', '  x \n'],
    ["m.rstrip('\\n')", '\n  x \n\n', '\n  x '],
    ["m.strip('\\n')", '\n  x \n', '  x '],
    ["m.strip('ab')", 'abba xa b', ' xa '],
    ['m.strip()', '\u0085\u001c x\ufeff\u00a0\n', 'x\ufeff'],
    ['m.strip(none)', ' x ', 'x'],
    ["m.split('</t>')[0].rstrip('\\n').split('<t>')[-1].lstrip('\\n')", '<t>\n  y\n</t>z', '  y'],
    ["m.split('</t>')[-1].lstrip('\\n')", '</t>\n\n    return x', '    return x'],
    ["(m | trim).lstrip('x') + '|' ~ m.strip('x').lstrip()", 'xx y', ' y|y'],
    ["m.strip('\\n') | length", '\n\nabc\n', '3'],
    ["{'text': m.lstrip('\\n')}.text", '\n  x', '  x'],
  ])('strips like Python: %s', (expression, content, expected) => {
    const template = new ChatTemplate(`{% set m = messages[0].content %}{{ ${expression} }}`);
    expect(template.render([{ role: 'user', content }])).toBe(expected);
  });
});
