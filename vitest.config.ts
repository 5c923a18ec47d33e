import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts'], testTimeout: 30_000 } },
      {
        test: {
          name: 'end-to-end',
          include: ['test/e2e/**/*.test.ts', 'test/bypasses/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        // The same tests once more, as far as the store has a part in them: with a PostgreSQL server as the store.
        test: {
          name: 'end-to-end-server-store',
          include: ['test/e2e/{policy,review,recording}.test.ts'],
          env: { SALLYPORT_TEST_STORE: 'postgres' },
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
