import { defineConfig } from 'vitest/config';

// Unit tests sit beside the code; cross-cutting and seconds-long recipe tests in tests/. Slow suites have a config of their own.
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'tests/**/*.test.ts'],
    exclude: ['**/*.slow.test.ts', '**/node_modules/**'],
    globalSetup: 'tests/support/temporary-files.ts',
    pool: 'forks', // the engine is a native addon with per-process state
    maxWorkers: 2,
    // Two workers with two engine threads each would fight over two cores: up to fifty times slower.
    env: { OMP_NUM_THREADS: '1' },
    testTimeout: 60_000,
  },
});
