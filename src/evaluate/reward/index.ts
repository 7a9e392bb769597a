export { type AnswerToScore, RewardJudge, RewardModel } from './reward-model.ts';
export { bradleyTerry, type RewardResults, RewardTask } from './reward-task.ts';
export { evaluateReward, type RewardOptions, type RewardResult, trainReward } from './train-reward.ts';
