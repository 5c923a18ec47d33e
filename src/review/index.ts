export { type BoundOperation, operationDigest } from './digest.ts'
export {
  type Answer,
  answer,
  expire,
  MAX_REASON_CHARACTERS,
  missingApprovals,
  openReview,
  outcomeOf,
  type Review,
  type ReviewAnswer,
  type ReviewState,
  refusalToAnswer,
  spend,
  withdraw,
} from './review.ts'
export { isAmong, sameHuman } from './reviewers.ts'
export { type HoldDemand, type Quorum, quorumsOf } from './terms.ts'
