import { jestProject } from '../../jest.preset.mjs';

export default jestProject('webhook-dispatcher', import.meta.dirname);
