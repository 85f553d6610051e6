import { jestProject } from '../../jest.preset.mjs';

export default jestProject('kafka', import.meta.dirname);
