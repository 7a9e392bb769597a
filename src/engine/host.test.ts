import { afterEach, describe, expect, it } from 'vitest';
import {
  type Device,
  devices,
  engineInfo,
  memory,
  ops,
  resolveDevice,
  setMatmulPrecision,
  setThreads,
  tensor,
  threads,
  tidy,
  withoutDenormals,
} from './index.ts';

describe('the host', () => {
  const before = threads();
  afterEach(() => {
    setThreads(before);
    setMatmulPrecision('highest');
  });

  it('says what the engine is', () => {
    const info = engineInfo();
    expect(info.torchVersion).toMatch(/^\d+\.\d+\.\d+/);
    expect(info.devices[0]).toBe('cpu');
    expect(info.threads).toBe(threads());
    expect(info.cpuCapability).not.toBe('');
    expect(info.devices).toEqual(devices());
    expect(typeof info.bf16Kernels).toBe('boolean');
  });

  it.each([
    [
      'cuda:9',
      ['cpu', 'cuda:0', 'cuda:1'],
      /cuda:9 is not here\. There are cpu, cuda:0, cuda:1\.$/,
      /or auto/,
    ],
    [
      'cuda',
      ['cpu'],
      /cuda is not here\. There is cpu \(CUDA: .+\)\.$/,
      /MALLOWS_TORCH=python3 mallows setup/,
    ],
    ['mps', ['cpu', 'cuda:0'], /mps is not here\. There are cpu, cuda:0\.$/, /or auto/],
    ['gpu', ['cpu'], /"gpu" names no device\. There is cpu\.$/, /cuda:N/],
    ['cuda:x', ['cpu', 'cuda:0'], /"cuda:x" names no device/, /cuda:N/],
  ])('refuses the device %s where there are %s', (wanted, available, message, hint) => {
    expect(() => resolveDevice(wanted as Device, available as Device[])).toThrow(
      expect.objectContaining({
        code: 'device-missing',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });

  it('takes a device that is there, and cuda for any of CUDA', () => {
    expect(resolveDevice('cuda:1', ['cpu', 'cuda:0', 'cuda:1'])).toBe('cuda:1');
    expect(resolveDevice('cuda', ['cpu', 'cuda:0'])).toBe('cuda');
    expect(resolveDevice('mps', ['cpu', 'mps'])).toBe('mps');
    expect(resolveDevice('auto', ['cpu', 'mps'])).toBe('cpu');
  });

  it('sets threads', () => {
    setThreads(1);
    expect(threads()).toBe(1);
    expect(() => setThreads(0)).toThrow('between 1 and 4096 threads');
  });

  it('computes full float32 products by default', () => {
    const x = tensor([1 + 2 ** -20], { shape: [1, 1] });
    expect(ops.mm(x, tensor([1], { shape: [1, 1] })).item()).toBe(1 + 2 ** -20);
    expect(() => setMatmulPrecision('low' as 'high')).toThrow();
  });

  it('reports memory', () => {
    const { residentBytes, peakResidentBytes } = memory();
    expect(residentBytes).toBeGreaterThan(1e7);
    expect(peakResidentBytes).toBeGreaterThanOrEqual(residentBytes * 0.9);
  });

  it('flushes denormals where asked, on every thread', () => {
    const tiny = 1e-39;
    const halved = () =>
      tidy(() => ops.sum(ops.ne(ops.mul(ops.add(tensor(new Float32Array(200_000)), tiny), 0.5), 0)).item());
    expect(halved()).toBe(200_000);
    expect(withoutDenormals(halved)).toBe(0);
    expect(halved()).toBe(200_000);
  });
});
