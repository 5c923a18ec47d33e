// The build of recheck that runs in this thread: no worker, no other process. CommonJS, so it has a default export only.
declare module 'recheck/lib/browser.js' {
  import type { checkSync } from 'recheck'

  const recheck: { readonly checkSync: typeof checkSync }
  export default recheck
}
