import { expect, it, vi } from 'vitest';
import { hasFlashAttention } from '../engine/index.ts';
import { recipeDType, resolvePrecision, type TrainingDType } from './precision.ts';

const machine = vi.hoisted(() => ({ cudaBf16: false }));

vi.mock('../engine/addon.ts', async (importOriginal) => {
  const real = await importOriginal<typeof import('../engine/addon.ts')>();
  return {
    ...real,
    addon: () => ({ ...real.addon(), host: () => ({ ...real.addon().host(), ...machine }) }),
  };
});

it.each([
  [true, 'bfloat16', /cuda:0 computes bf16/],
  [false, 'float32', /older than compute capability 8/],
] as const)('auto on CUDA with bf16 instructions %s is %s', (cudaBf16, dtype, reason) => {
  machine.cudaBf16 = cudaBf16;
  expect(resolvePrecision('auto', 'cuda:0')).toEqual({ dtype, reason: expect.stringMatching(reason) });
  expect(resolvePrecision('bf16', 'cuda:0').dtype).toBe('bfloat16');
  expect(resolvePrecision('auto', 'mps').dtype).toBe('bfloat16');
});

it('takes the names of recipes and those of tensors, and no others', () => {
  expect(resolvePrecision('bfloat16', 'cpu').dtype).toBe('bfloat16');
  expect(resolvePrecision('float32', 'cpu').dtype).toBe('float32');
  expect((['auto', 'bfloat16', 'bf16', 'float32'] as const).map(recipeDType)).toEqual([
    'auto',
    'bf16',
    'bf16',
    'fp32',
  ]);
  for (const wrong of ['int8', 'float16', 'fp64']) {
    expect(() => resolvePrecision(wrong as TrainingDType, 'cpu')).toThrowError(
      expect.objectContaining({
        code: 'unknown-dtype',
        hint: expect.stringContaining('auto, float32 (fp32'),
      }),
    );
  }
});

it('takes FlashAttention for what it has kernels for, and nothing else', () => {
  machine.cudaBf16 = true;
  const bf16 = { device: 'cuda:0', dtype: 'bfloat16' } as const;
  expect(hasFlashAttention(bf16, 64)).toBe(true);
  expect(hasFlashAttention({ ...bf16, dtype: 'float16' }, 256)).toBe(true);
  expect(hasFlashAttention(bf16, 36)).toBe(false);
  expect(hasFlashAttention(bf16, 264)).toBe(false);
  expect(hasFlashAttention({ ...bf16, dtype: 'float32' }, 64)).toBe(false);
  expect(hasFlashAttention({ ...bf16, device: 'cpu' }, 64)).toBe(false);
  machine.cudaBf16 = false;
  expect(hasFlashAttention(bf16, 64)).toBe(false);
});
