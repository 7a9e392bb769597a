import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dequantize, READABLE_TYPES } from './dequantize.ts';
import type { TensorTypeName } from './format.ts';
import { quantize } from './quantize.ts';

interface Fixture {
  readonly decoded: { readonly type: TensorTypeName; readonly bytes: string; readonly values: string }[];
  readonly encoded: Readonly<Record<'values' | 'F16' | 'BF16' | 'Q8_0', string>>;
}

const fixture = JSON.parse(
  readFileSync(new URL('./fixtures/blocks.json', import.meta.url), 'utf8'),
) as Fixture;
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'));
const bits = (values: Float32Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');

describe('dequantize', () => {
  it.each(fixture.decoded)("gives llama.cpp's values of $type, bit for bit", ({ type, bytes, values }) => {
    const expected = new Float32Array(bytesOf(values).buffer);
    expect(bits(dequantize(type, bytesOf(bytes), 'test'))).toBe(bits(expected));
  });

  it('is compared for every type that it reads', () => {
    expect(fixture.decoded.map((entry) => entry.type).sort()).toEqual([...READABLE_TYPES].sort());
  });

  it('names a type that it cannot read, and the tensor', () => {
    expect(() => dequantize('IQ4_XS', new Uint8Array(136), 'model.gguf: blk.0.attn_q.weight')).toThrowError(
      /model.gguf: blk.0.attn_q.weight is stored as IQ4_XS/,
    );
  });
});

describe('quantize', () => {
  const values = new Float32Array(bytesOf(fixture.encoded.values).buffer);

  it.each(['F16', 'BF16', 'Q8_0'] as const)("gives llama.cpp's bytes of %s", (type) => {
    expect(Buffer.from(quantize(type, values)).toString('base64')).toBe(fixture.encoded[type]);
  });

  it('Q8_0 keeps a block of one 127th of the scale exactly', () => {
    const exact = Float32Array.from({ length: 32 }, (_, i) => (i - 16) * 0.5 + (i === 0 ? -55.5 : 0));
    expect(dequantize('Q8_0', quantize('Q8_0', exact), 'test')).toEqual(exact);
  });
});
