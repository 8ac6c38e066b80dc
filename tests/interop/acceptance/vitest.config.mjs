import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    dir: import.meta.dirname,
    // One relay for all, and a busy machine: the suite waits for events, so a longer patience costs nothing.
    testTimeout: 30_000,
    fileParallelism: false,
    cache: false,
    reporters: ["verbose"],
  },
})
