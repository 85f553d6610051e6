export * from './define-tool.ts';
export * from './tool-worker.ts';
