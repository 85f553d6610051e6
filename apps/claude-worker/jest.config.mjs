import { jestProject } from '../../jest.preset.mjs';

export default jestProject('claude-worker', import.meta.dirname);
