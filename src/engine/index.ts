/**
 * Tensors, operators and gradients: libtorch behind a small typed surface. See contract.ts for the rules of ownership.
 */
export { type EngineBuild, engineBuild } from './addon.ts';
export { enableGrad, type GradOptions, grad, noGrad } from './autograd.ts';
export type {
  Device,
  DType,
  EngineMemory,
  HostArray,
  MatmulPrecision,
  Multiplier,
  TensorOptions,
} from './contract.ts';
export { arange, empty, full, ones, scalar, type TensorDataOptions, tensor, zeros } from './create.ts';
export {
  bytesPerElement,
  type FloatDType,
  type FloatSpelling,
  floatDType,
  isDType,
  isFloating,
  wideDType,
} from './dtypes.ts';
export {
  availableMemory,
  devices,
  type EngineInfo,
  engineInfo,
  hasFlashAttention,
  hasOwnKernels,
  memory,
  multiplier,
  releaseFreeMemory,
  resolveDevice,
  rounding,
  setMatmulPrecision,
  setThreads,
  threads,
  withoutDenormals,
} from './host.ts';
export { MappedFile, mapFile } from './mapped-file.ts';
export * as ops from './ops.generated.ts';
export { Generator } from './random.ts';
export { keep, tidy } from './scope.ts';
export { type Scalar, Tensor } from './tensor.ts';
