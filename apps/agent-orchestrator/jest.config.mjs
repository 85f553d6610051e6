import { jestProject } from '../../jest.preset.mjs';

export default jestProject('agent-orchestrator', import.meta.dirname);
