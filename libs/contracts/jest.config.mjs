import { jestProject } from '../../jest.preset.mjs';

export default jestProject('contracts', import.meta.dirname);
