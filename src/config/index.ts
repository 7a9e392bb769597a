/** Recipes: their schema, the layers of values that fill them, and what to say when they are wrong. */
export { describeDropped, explainRecipe } from './explain.ts';
export type { FlagValue } from './layers.ts';
export { recipeKey, writtenRecipe } from './objective.ts';
export { preferenceOptions, readingOf, sftOptions } from './options.ts';
export { findRecipe, type ReadRecipe, readPreferenceRecipe, readSftRecipe } from './read.ts';
export { sftRecipe, trainRecipe } from './recipes.ts';
export { describeKeys, recipeJsonSchema } from './reference.ts';
export { type RecipeKind, resolveRecipe } from './resolve.ts';
export { type SftRecipe, sftSchema, type TrainRecipe, trainSchema } from './schema.ts';
