// Rules for the page's JavaScript: ESLint's recommended ones and a few more.
//
// The recommended rules lie in a package that ESLint brings along. It is found from ESLint's own program, so that the
// linter runs by `npx` and leaves nothing in this folder.

import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";

const js = createRequire(realpathSync(process.argv[1]))("@eslint/js");

const BROWSER = [
  "Blob", "URL", "URLSearchParams", "addEventListener", "atob", "clearTimeout", "document",
  "getComputedStyle", "history", "location", "matchMedia", "navigator", "performance", "setTimeout", "window",
];

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: "module",
      globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])),
    },
    rules: {
      "eqeqeq": "error",
      "max-lines": ["error", 250],
      "max-lines-per-function": ["error", 60],
      "no-eval": "error",
      "no-implicit-globals": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
