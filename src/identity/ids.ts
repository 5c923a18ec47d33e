import type { Random } from '../kernel/index.ts'
import { base32, base32Time } from './base.ts'

/** Ids name things and are no secrets; whoever knows one has no rights from it. */

/** `s_` and 26 characters; sorts by the time it was made. */
export function newSessionId(now: number, random: Random): string {
  return `s_${base32Time(now)}${base32(random.bytes(10))}`
}

/** `r_` and 8 characters: people type it. Callers try again when it is taken. */
export function newReviewId(random: Random): string {
  return `r_${base32(random.bytes(5))}`
}

/** `spt_` and 16 characters. */
export function newTokenId(random: Random): string {
  return `spt_${base32(random.bytes(10))}`
}

/** `g_` and 16 characters: one run of one gateway. */
export function newInstanceId(random: Random): string {
  return `g_${base32(random.bytes(10))}`
}

const TOKEN_ID = /^spt_[0-9a-hjkmnp-tv-z]{16}$/
const SESSION_ID = /^s_[0-9a-hjkmnp-tv-z]{26}$/
const REVIEW_ID = /^r_[0-9a-hjkmnp-tv-z]{8}$/

export const isTokenId = (text: string): boolean => TOKEN_ID.test(text)
export const isSessionId = (text: string): boolean => SESSION_ID.test(text)
export const isReviewId = (text: string): boolean => REVIEW_ID.test(text)
