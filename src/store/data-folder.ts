import { chmod, mkdir } from 'node:fs/promises'

/**
 * Others may pass through, since a gateway that is root runs its servers as another account, and nobody may list. What
 * is secret below it has a folder of mode 0700 or a file of mode 0600 of its own.
 */
const DATA_FOLDER_MODE = 0o711

/** Makes the gateway's data folder when it is missing; one that is there keeps its mode, which is its owner's choice. */
export async function makeDataFolder(folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: DATA_FOLDER_MODE })
  if (made !== undefined) await chmod(folder, DATA_FOLDER_MODE) // whatever the umask is
}
