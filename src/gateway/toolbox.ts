import type { Toolbox } from '../cli/toolbox.ts'
import { VERSION } from './version.ts'

// Each part is loaded when a command needs it: most commands only speak to the API, and should start at once.
const offline = async () => (await import('./offline.ts')).offline

/** What the command line borrows. */
export const toolbox: Toolbox = {
  version: VERSION,
  runGateway: async (...given) => (await import('./run.ts')).runGateway(...given),
  runDemo: async (...given) => (await import('./demo/demo.ts')).runDemo(...given),
  checkConfig: async (...given) => (await offline()).checkConfig(...given),
  policyDocuments: async (...given) => (await offline()).policyDocuments(...given),
  configSchema: async () => (await offline()).configSchema(),
  policySchema: async () => (await offline()).policySchema(),
  explain: async (...given) => (await offline()).explain(...given),
  createToken: async (...given) => (await offline()).createToken(...given),
}
