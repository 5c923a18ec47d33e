export * from './events.ts'
export * from './journal.ts'
export * from './sync-group.ts'
