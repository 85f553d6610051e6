import { jestProject } from '../../jest.preset.mjs';

export default jestProject('postgres', import.meta.dirname);
