export { ChatJudge } from './chat-judge.ts';
export { CommandJudge, type CommandJudgeOptions } from './command-judge.ts';
export type { Judge, NoVerdict, Outcome, ShownPair, Verdict } from './contract.ts';
export {
  type AnswerPair,
  countLeftOut,
  type JudgedPair,
  type JudgeRunOptions,
  type JudgeSummary,
  judgePairs,
  type LeftOutPairs,
  requireVerdicts,
  summarizeVerdicts,
  type Winner,
} from './pairwise.ts';
export { type JudgeTemplate, loadTemplate, parseTemplate, renderTemplate } from './template.ts';
export { parseLogprobs, parseVerdict } from './verdict.ts';
