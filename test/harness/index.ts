export { type Certificates, makeCertificates } from './certificates.ts'
export { column, errorOf, type ServerError } from './clients.ts'
export {
  Gateway,
  type GatewaySettings,
  PEOPLE,
  type Person,
  prepareStore,
  SALLYPORT,
  type StoreServer,
  startGateway,
} from './gateway.ts'
export { type PipelineResult, pipeline, statement } from './pipeline.ts'
export { type Finished, Running, run, start } from './processes.ts'
export { startTarget, type Target, temporaryFolder } from './target.ts'
export { CTRL_C, interactivePsql } from './terminal.ts'
export { isMissing, needs } from './tools.ts'
export { eventually } from './waiting.ts'
