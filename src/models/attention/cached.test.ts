import { describe, expect, it } from 'vitest';
import { memory } from '../../engine/index.ts';
import type { ModelConfig } from '../contract.ts';
import { KeyValueCache } from './cached.ts';

describe('the key/value cache', () => {
  it('holds two tensors a layer however often it grows, and none once disposed', () => {
    const config = {
      layers: 3,
      kvHeads: 2,
      headWidth: 4,
      layerWindows: [undefined],
    } as unknown as ModelConfig;
    const live = memory().liveTensors;
    const cache = new KeyValueCache({ config, dtype: 'float32', device: 'cpu' }, 4, 8);
    for (const length of [6, 20, 50, 200]) {
      cache.claim(length, 1);
      expect(memory().liveTensors).toBe(live + 6);
    }
    cache.dispose();
    expect(memory().liveTensors).toBe(live);
  });
});
