import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Elements that stand on lines of their own. */
const BLOCKS = new Set(['P', 'DIV', 'PRE', 'UL', 'OL', 'BLOCKQUOTE', 'H1', 'H2', 'H3', 'H4', 'TABLE', 'HR']);

/** The text of a fragment of HTML: paragraphs apart, list items marked, code as it was. Text without tags is unchanged. */
export function htmlToText(html: string): string {
  if (!/<\/?[a-z][^>]*>/i.test(html)) return html;
  // Loaded when first needed: few data sets are HTML, and the library takes longer to load than all the rest here.
  const { parseHTML } = require('linkedom') as typeof import('linkedom');
  const { document } = parseHTML(`<!doctype html><html><body>${html}</body></html>`);
  return walk(document.body as unknown as HtmlNode, false)
    .replace(/[ \t]+\n/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
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
  const inside = Array.from(node.childNodes, (child) =>
    walk(child, preformatted || node.nodeName === 'PRE'),
  ).join('');
  if (node.nodeName === 'LI') return `\n- ${inside.trim()}`;
  return BLOCKS.has(node.nodeName)
    ? `\n\n${preformatted ? inside : inside.replace(/^ | $/g, '')}\n\n`
    : inside;
}
