import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Elements that stand on lines of their own. */
const BLOCKS = new Set(['P', 'DIV', 'PRE', 'UL', 'OL', 'BLOCKQUOTE', 'H1', 'H2', 'H3', 'H4', 'TABLE', 'HR']);

/** Elements that people write in posts. Other words in angle brackets, such as `vector<int>`, are text. */
const TAG =
  /<\/?(?:a|abbr|b|blockquote|br|caption|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|q|s|samp|script|small|span|strike|strong|style|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)(?:\s[^<>]*)?\/?>/i;

/** The text of a fragment of HTML: paragraphs apart, list items marked, code as it was. Text without tags is unchanged. */
export function htmlToText(html: string): string {
  if (!TAG.test(html)) return html;
  // Loaded when first needed: few data sets are HTML, and the library takes longer to load than all the rest here.
  const { parseHTML } = require('linkedom') as typeof import('linkedom');
  const { document } = parseHTML(`<!doctype html><html><body>${html}</body></html>`);
  return (
    walk(document.body as unknown as HtmlNode, false)
      .replace(/[ \t]+\n/g, '\n')
      .replace(/\n{3,}/g, '\n\n')
      .trimEnd()
      // What follows blank lines is a block, which may be code: its indentation stays.
      .replace(/^(?:[ \t]*\n)+|^[ \t]+/, '')
  );
}

/** The little of a DOM node that is read here; the compiler's `dom` library is not loaded. */
interface HtmlNode {
  readonly nodeType: number;
  readonly nodeName: string;
  readonly textContent: string | null;
  readonly childNodes: Iterable<HtmlNode>;
}

const TEXT_NODE = 3;
const ELEMENT_NODE = 1;

function walk(node: HtmlNode, preformatted: boolean): string {
  if (node.nodeType === TEXT_NODE) {
    const content = node.textContent ?? '';
    return preformatted ? content : content.replace(/\s+/g, ' ');
  }
  if (node.nodeType !== ELEMENT_NODE || node.nodeName === 'SCRIPT' || node.nodeName === 'STYLE') return '';
  if (node.nodeName === 'BR') return '\n';
  const asWritten = preformatted || node.nodeName === 'PRE';
  const inside = Array.from(node.childNodes, (child) => walk(child, asWritten)).join('');
  if (node.nodeName === 'LI') return `\n- ${inside.trim()}`;
  if (!BLOCKS.has(node.nodeName)) return inside;
  return `\n\n${asWritten ? inside : inside.replace(/^ | $/g, '')}\n\n`;
}
