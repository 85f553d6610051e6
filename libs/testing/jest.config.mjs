import { jestProject } from '../../jest.preset.mjs';

export default jestProject('testing', import.meta.dirname);
