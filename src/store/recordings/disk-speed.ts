import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { FILE_MODE } from './files.ts'

/** Above it a sync holds up every other session for longer than the thread pool's detour costs. */
const INLINE_BELOW_MICROS = 250
const SAMPLES = 7

/** Median microseconds of a small write with its sync, in the folder where recordings are written. */
export function measureSync(folder: string): number {
  const path = join(folder, `.speed-${process.pid}`)
  const descriptor = openSync(path, 'w', FILE_MODE)
  try {
    const micros: number[] = []
    const block = Buffer.alloc(512)
    for (let sample = 0; sample < SAMPLES; sample++) {
      const began = process.hrtime.bigint()
      writeSync(descriptor, block)
      fdatasyncSync(descriptor)
      micros.push(Number(process.hrtime.bigint() - began) / 1000)
    }
    return micros.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)]!
  } finally {
    closeSync(descriptor)
    rmSync(path, { force: true })
  }
}

export function syncsInline(micros: number): boolean {
  return micros < INLINE_BELOW_MICROS
}
