import { jestProject } from '../../jest.preset.mjs';

export default jestProject('work', import.meta.dirname);
