import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.slow.test.ts', 'tests/**/*.slow.test.ts'],
    globalSetup: 'tests/support/temporary-files.ts',
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 1_800_000,
  },
});
