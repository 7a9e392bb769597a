export { type ClassifierOptions, TextClassifier, trainClassifier } from './classifier.ts';
export { binaryCrossEntropy, type LabelResults, LabelTask } from './label-task.ts';
export { type AnswerToScore, RewardJudge, RewardModel } from './reward-model.ts';
export { bradleyTerry, type RewardResults, RewardTask } from './reward-task.ts';
export { evaluateReward, type RewardOptions, type RewardResult, trainReward } from './train-reward.ts';
export { type ScorerOptions, type ScorerResult, trainScorer } from './train-scorer.ts';
