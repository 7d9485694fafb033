import { defineConfig } from 'vitest/config';

/* In development the REST API and the live socket come from a running node. */
const node = process.env['GITO_NODE'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  build: { target: 'es2021', outDir: 'dist', emptyOutDir: true },
  server: { proxy: { '/api': { target: node, ws: true } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
