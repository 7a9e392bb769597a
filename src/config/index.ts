/** Recipes: their schema, the layers of values that fill them, and what to say when they are wrong. */
export { explainRecipe } from './explain.ts';
export type { FlagValue, KeyPath, Origin } from './layers.ts';
export { sftRecipe, trainRecipe } from './recipes.ts';
export { describeKeys, type KeyDescription, recipeJsonSchema } from './reference.ts';
export {
  type Problem,
  type RecipeKind,
  type RecipeSources,
  type Resolved,
  resolveRecipe,
} from './resolve.ts';
export { type SftRecipe, sftSchema, type TrainRecipe, trainSchema } from './schema.ts';
