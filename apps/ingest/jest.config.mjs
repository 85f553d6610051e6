import { jestProject } from '../../jest.preset.mjs';

export default jestProject('ingest', import.meta.dirname);
