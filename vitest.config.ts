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
        // The same tests once more with a PostgreSQL server as the store. store.test.ts is about that by itself, and the
        // demo always has the embedded one.
        test: {
          name: 'end-to-end-server-store',
          include: ['test/e2e/**/*.test.ts'],
          exclude: ['test/e2e/{store,demo}.test.ts'],
          env: { SALLYPORT_TEST_STORE: 'postgres' },
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
