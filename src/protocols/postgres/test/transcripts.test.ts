import { writeFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { loadParser } from '../../../sql/index.ts'
import { replay, transcriptsIn } from './replay.ts'

const FOLDER = new URL('./transcripts/', import.meta.url)
/** Writes down what happens now; read the difference before you keep it. */
const UPDATE = process.env['UPDATE_TRANSCRIPTS'] === '1'

beforeAll(loadParser)

for (const transcript of transcriptsIn(FOLDER))
  for (const split of ['whole', 'byte-by-byte', 'seeded'] as const)
    test(`${transcript.name}, ${split}`, async () => {
      const answer = await replay(transcript, split)
      if (UPDATE && split === 'whole') writeFileSync(new URL(`${transcript.name}.wire`, FOLDER), answer)
      else if (!UPDATE) expect(answer).toBe(transcript.text)
    })
