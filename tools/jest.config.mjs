import { jestProject } from '../jest.preset.mjs';

export default jestProject('tools', import.meta.dirname);
