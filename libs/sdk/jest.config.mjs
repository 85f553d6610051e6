import { jestProject } from '../../jest.preset.mjs';

export default jestProject('sdk', import.meta.dirname);
