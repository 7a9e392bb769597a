import { expect, it } from 'vitest';
import { htmlToText } from './html.ts';

it.each([
  ['  <p>One</p> <p>Two</p> ', 'One\n\nTwo'],
  ['<p>See:</p><pre><code>  if x:\n    y</code></pre>', 'See:\n\n  if x:\n    y'],
  ['<pre>  first\nsecond</pre><p>Then.</p>', '  first\nsecond\n\nThen.'],
  [' led by <b>a space</b>', 'led by a space'],
  ['Use std::vector<int> and a < b', 'Use std::vector<int> and a < b'],
])('makes text of %j', (html, text) => {
  expect(htmlToText(html)).toBe(text);
});
