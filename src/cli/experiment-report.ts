import { join } from 'node:path';
import type { Claim } from '../experiments/index.ts';
import type { CliContext } from './context.ts';
import { plainLine } from './paint.ts';

/** What an experiment found, for people and for programs: every statement of the paper beside this run. */
export function announceReport(
  context: CliContext,
  output: string,
  { claims, findings }: { readonly claims: readonly Claim[]; readonly findings: readonly string[] },
): void {
  for (const { claim, paper, ours, verdict } of claims) {
    const mark = verdict === 'reproduced' ? context.paint.green(verdict) : context.paint.yellow(verdict);
    context.print(`${mark}: ${plainLine(claim)}\n  paper: ${paper}\n  here:  ${ours}`);
  }
  for (const finding of findings) context.print(finding);
  context.note(`wrote ${join(output, 'report.html')}`);
  context.emit({ event: 'done', output, claims, findings });
}
