import { jestProject } from '../../jest.preset.mjs';

export default jestProject('cli', import.meta.dirname);
