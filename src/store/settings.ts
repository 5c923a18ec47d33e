import { eq } from 'drizzle-orm'
import type { Database } from './database.ts'
import { guarded } from './errors.ts'
import { settings } from './schema.ts'

/** Small values that all gateways on one store share. */
export class SettingsTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  get(name: string): Promise<Buffer | undefined> {
    return guarded(async () => {
      const rows = await this.#database.select().from(settings).where(eq(settings.name, name))
      return rows[0]?.value
    })
  }

  set(name: string, value: Buffer): Promise<void> {
    return guarded(async () => {
      await this.#database
        .insert(settings)
        .values({ name, value })
        .onConflictDoUpdate({ target: settings.name, set: { value } })
    })
  }

  /** The value, made when missing. Of gateways that make it at once, all get the same one. */
  getOrMake(name: string, make: () => Buffer): Promise<Buffer> {
    return guarded(async () => {
      const found = await this.get(name)
      if (found !== undefined) return found
      await this.#database.insert(settings).values({ name, value: make() }).onConflictDoNothing()
      const rows = await this.#database.select().from(settings).where(eq(settings.name, name))
      return rows[0]!.value
    })
  }
}
