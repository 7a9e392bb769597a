/** Building blocks: functions over tensors, and the linear map with its adapters. */
export { ACTIVATION_NAMES, type ActivationName, activation } from './activations.ts';
export { Linear, type LinearLayout, type LowRankAdapter } from './linear.ts';
export { attachLora, detachLora, type LoraOptions, mergeLora, setLoraAdapter } from './lora.ts';
export { layerNorm, type NormStyle, rmsNorm } from './norms.ts';
export { Parameter } from './parameter.ts';
export {
  applyRotary,
  type RotaryScaling,
  type RotarySettings,
  type RotaryTables,
  rotaryTables,
} from './rotary.ts';
