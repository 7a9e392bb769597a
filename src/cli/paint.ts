type Style = (text: string) => string;

/** Terminal styles; every one is the identity where colour is unwanted. */
export interface Paint {
  readonly bold: Style;
  readonly dim: Style;
  readonly red: Style;
  readonly green: Style;
  readonly yellow: Style;
}

/** Honours NO_COLOR (no-color.org) and FORCE_COLOR; otherwise colours a terminal and nothing else. */
export function createPaint(terminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const refused = env.NO_COLOR !== undefined && env.NO_COLOR !== '';
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0';
  const on = !refused && (forced || (terminal && env.TERM !== 'dumb'));
  const style =
    (open: number, close: number): Style =>
    (text) =>
      on ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
  };
}

/**
 * Text from outside (prompts, model output, file names) made safe for a terminal: control characters, which could move
 * the cursor or change its settings, become visible escapes; newlines and tabs become spaces.
 */
export function plainLine(text: string, width = Number.POSITIVE_INFINITY): string {
  const flat = text
    .replace(/[\r\n\t]+/g, ' ')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to replace
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const characters = [...flat];
  return characters.length <= width ? flat : `${characters.slice(0, width - 1).join('')}…`;
}
