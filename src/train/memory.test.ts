import { describe, expect, it } from 'vitest';
import { TINY_CONFIGS, tinyModel } from '../../tests/support/tiny-models.ts';
import { readModelConfig } from '../models/config/read.ts';
import { countParameters, estimateMemory, memoryNote } from './memory.ts';

describe('parameters of a configuration', () => {
  it.each(Object.keys(TINY_CONFIGS) as (keyof typeof TINY_CONFIGS)[])('are counted: %s', (name) => {
    const model = tinyModel(name);
    let actual = 0;
    for (const { value } of model.parameters.values()) actual += value.size;
    // Biases, which the count leaves out, weigh most in models this small.
    expect(Math.abs(countParameters(model.config) / actual - 1)).toBeLessThan(0.1);
    model.dispose();
  });
});

describe('memory estimate', () => {
  // SmolLM2-135M.
  const config = readModelConfig({
    model_type: 'llama',
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 2048,
    tie_word_embeddings: true,
  });
  const options = {
    dtype: 'float32',
    optimizer: { name: 'adamw' },
    rowTokens: 1285,
    headPositions: 422,
  } as const;

  it('is near a measured peak: 4.3 GB for rows of 1,285 tokens in fp32 with AdamW', () => {
    const { total } = estimateMemory(config, options);
    expect(total / 4.305e9).toBeGreaterThan(0.9);
    expect(total / 4.305e9).toBeLessThan(1.15);
  });

  it('is near a measured peak: 3.39 GB for rows of 1,085 tokens in bf16 with fp32 masters and AdamW', () => {
    const half = { ...options, dtype: 'bfloat16', rowTokens: 1085, headPositions: 400 } as const;
    const { total } = estimateMemory(config, half);
    expect(total / 3.39e9).toBeGreaterThan(0.9);
    expect(total / 3.39e9).toBeLessThan(1.15);
  });

  it('by hand: weights, gradients and moments of 134.5 million fp32 weights', () => {
    expect(countParameters(config)).toBe(134_515_008);
    const { weights, gradients, optimizer } = estimateMemory(config, options);
    expect([weights, gradients, optimizer]).toEqual([4, 4, 8].map((bytes) => bytes * 134_515_008));
    const half = estimateMemory(config, { ...options, dtype: 'bfloat16', optimizer: { name: 'rmsprop' } });
    expect([half.weights, half.optimizer]).toEqual([6, 4].map((bytes) => bytes * 134_515_008));
    // bf16 as computed, but for the tied embedding, whose two contributions are summed in fp32.
    expect(half.gradients).toBe(2 * 134_515_008 + 2 * 49_152 * 576);
    const accumulated = { ...options, dtype: 'bfloat16', passes: 2 } as const;
    expect(estimateMemory(config, accumulated).gradients).toBe(4 * 134_515_008);
  });

  it('shrinks with recomputation, shorter rows and adapters', () => {
    const whole = estimateMemory(config, options);
    const recomputed = estimateMemory(config, { ...options, recompute: true });
    expect(recomputed.activations).toBeLessThan(whole.activations / 8);
    expect(estimateMemory(config, { ...options, rowTokens: 600 }).total).toBeLessThan(whole.total);
    const adapters = estimateMemory(config, { ...options, trainedParameters: 5e6 });
    expect(adapters.gradients + adapters.optimizer).toBe(12 * 5e6);
  });

  it('warns where a step will not fit, and says what is for what', () => {
    const estimate = estimateMemory(config, { ...options, headPositions: 0 });
    const fits = memoryNote({ ...estimate, total: 2 ** 20 });
    expect(fits).toMatchObject({ level: 'info', code: 'memory' });
    expect(fits.message).toMatch(
      /^A step takes about 1\.0 MiB at its peak \(weights .*activations [^,]*\); .* are free\.$/,
    );
    const short = memoryNote({ ...estimate, total: 2 ** 60 });
    expect(short).toMatchObject({ level: 'warning', code: 'memory-short' });
    expect(short.message).toMatch(/Use recompute/);
  });
});
