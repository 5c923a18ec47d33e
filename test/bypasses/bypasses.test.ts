import { afterAll, beforeAll } from 'vitest'
import { doors } from './doors.ts'
import { extraction } from './extraction.ts'
import { honest } from './honest.ts'
import { races } from './races.ts'
import { type Rig, startRig, stopRig } from './rig.ts'
import { text } from './text.ts'
import { writing } from './writing.ts'

let started: Rig | undefined

beforeAll(async () => {
  started = await startRig()
})

afterAll(() => stopRig(started))

function rig(): Rig {
  if (started === undefined) throw new Error('the servers are not running')
  return started
}

honest(rig)
writing(rig)
text(rig)
extraction(rig)
races(rig)
doors(rig)
