import { jestProject } from '../jest.preset.mjs';

export default jestProject('chaos', import.meta.dirname);
