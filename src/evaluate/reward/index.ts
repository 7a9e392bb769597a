export { type ClassifierOptions, TextClassifier, trainClassifier } from './classifier.ts';
export { type AnswerToScore, RewardJudge, RewardModel } from './reward-model.ts';
export { type RewardOptions, type RewardResult, trainReward } from './train-reward.ts';
export type { ScorerOptions, ScorerResult } from './train-scorer.ts';
