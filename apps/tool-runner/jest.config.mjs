import { jestProject } from '../../jest.preset.mjs';

export default jestProject('tool-runner', import.meta.dirname);
