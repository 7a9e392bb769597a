export { type ClassifierOptions, TextClassifier, trainClassifier } from './classifier.ts';
export type { ScorerOptions, ScorerResult } from './options.ts';
export { type AnswerToScore, RewardJudge, RewardModel } from './reward-model.ts';
export type { ScoreWatch, SequenceTokens } from './score-pass.ts';
export type { Scorer, ScorerLoadOptions } from './scorer.ts';
export { type RewardOptions, type RewardResult, trainReward } from './train-reward.ts';
