import { DARK, LIGHT } from './palette.ts';

const variables = (colors: Readonly<Record<string, string>>): string =>
  Object.entries(colors)
    .map(([role, color]) => `--${role}:${color};`)
    .join('');

/** The report's style sheet: one measure of text, figures in a grid, tables that scroll on their own, print rules. */
export const REPORT_STYLE = `
:root{color-scheme:light dark;${variables(LIGHT)}--wash:#f5f6f7}
@media (prefers-color-scheme:dark){:root{${variables(DARK)}--wash:#1e2125}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:400 16px/1.55 Inter,"Helvetica Neue",Arial,sans-serif;
  overflow-wrap:break-word}
.page{max-width:70rem;margin:0 auto;padding:clamp(1.5rem,4vw,4rem) clamp(1rem,4vw,3rem) 5rem}
header,section>h2,section>h3,section>p,section>ul,section>dl{max-width:44rem}
.kicker{margin:0 0 .35rem;color:var(--muted);font-size:.8125rem;letter-spacing:.04em;text-transform:uppercase}
h1{margin:0 0 .4rem;font-size:clamp(1.6rem,4.5vw,2.35rem);line-height:1.15;letter-spacing:-.018em;font-weight:600;text-wrap:balance}
.subtitle{margin:0;color:var(--muted)}
h2{margin:0 0 .75rem;font-size:1.25rem;line-height:1.3;letter-spacing:-.01em;font-weight:600}
h3{margin:1.75rem 0 .4rem;font-size:1rem;font-weight:600}
p{margin:0 0 .9rem}
a{color:var(--blue)}
section{margin-top:3rem;padding-top:1.5rem;border-top:1px solid var(--rule)}
section.verdict{margin-top:1.75rem;padding-top:0;border:0}
.verdict p{font-size:1.125rem;line-height:1.5}
.verdict p+p{font-size:1rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:1.25rem 2rem;margin:1.75rem 0 0;max-width:none!important}
.facts div{border-top:2px solid var(--ink);padding-top:.5rem}
.facts dt{color:var(--muted);font-size:.8125rem}
.facts dd{margin:.1rem 0 0;font-size:1.5rem;line-height:1.25;letter-spacing:-.015em;font-weight:600}
.facts dd small{display:block;margin-top:.1rem;color:var(--muted);font-size:.8125rem;letter-spacing:0;font-weight:400}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:2.5rem 3rem;margin:1.25rem 0 0}
figure{margin:0;break-inside:avoid}
figure svg{display:block;width:100%;max-width:34rem;height:auto}
figcaption{margin-top:.5rem;color:var(--muted);font-size:.875rem;line-height:1.5;max-width:38rem}
.scroll{overflow-x:auto;margin:.5rem 0 1.25rem}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 3rem}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4}
caption{text-align:left;color:var(--muted);padding:0 0 .5rem}
th,td{padding:.4rem 1.25rem .4rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
th{font-weight:600;white-space:nowrap}
thead th{border-bottom:1px solid var(--ink)}
.number{width:1%;text-align:right;white-space:nowrap;font-feature-settings:"tnum" 1}
.pair{margin:0 0 2rem;break-inside:avoid}
.pair h3{margin:0 0 .6rem;padding-left:.9rem;border-left:3px solid var(--rule);font-weight:400;white-space:pre-wrap}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem}
.side{background:var(--wash);padding:.85rem 1rem 1rem;border-radius:.25rem}
.side h4{margin:0 0 .35rem;color:var(--muted);font-size:.8125rem;font-weight:600}
.side p{margin:0;white-space:pre-wrap;font-size:.9375rem}
.remark{margin:.5rem 0 0;color:var(--muted);font-size:.8125rem}
.filters{display:flex;flex-wrap:wrap;gap:.75rem 2rem;margin:0 0 1.5rem}
.filters fieldset{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:0;padding:0;border:0;font-size:.875rem}
.filters legend{float:left;margin-right:1rem;padding:0;line-height:2rem;color:var(--muted)}
.filters label{display:flex;align-items:center;gap:.35rem;min-height:2rem}
.filters small{color:var(--muted)}
.side .empty{color:var(--muted);font-style:italic}
pre{margin:.5rem 0 1.25rem;padding:.85rem 1rem;background:var(--wash);overflow-x:auto;
  font:400 .8125rem/1.5 ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{font:400 .875em ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace}
footer{margin-top:4rem;color:var(--muted);font-size:.8125rem}
@media print{
  :root{color-scheme:light;${variables(LIGHT)}--wash:#f5f6f7}
  body{font-size:10pt}.page{max-width:none;padding:0}
  section{margin-top:1.5rem}.figures{grid-template-columns:1fr 1fr;gap:1.25rem}
  pre,.scroll{overflow:visible;white-space:pre-wrap}
  h2,h3{break-after:avoid}
  .filters{display:none}
}`;
