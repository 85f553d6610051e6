import { jestProject } from '../../jest.preset.mjs';

export default jestProject('egress', import.meta.dirname);
