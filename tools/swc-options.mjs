/**
 * How SWC turns our TypeScript into JavaScript: one set of options for the build and for jest,
 * so that a test runs the code that ships. Nest's injection needs the decorator metadata.
 * @type {import('@swc/core').Options}
 */
export const swcOptions = {
  jsc: {
    target: 'es2023',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'es6' },
  sourceMaps: true,
  swcrc: false,
};

/** The same for files that are written to `dist`: imports of `./x.ts` become `./x.js`. */
export const swcBuildOptions = {
  ...swcOptions,
  jsc: { ...swcOptions.jsc, rewriteRelativeImportExtensions: true },
};
