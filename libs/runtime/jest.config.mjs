import { jestProject } from '../../jest.preset.mjs';

export default jestProject('runtime', import.meta.dirname);
