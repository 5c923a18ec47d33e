export const LAYERS: readonly string[]
export function breaches(source: { readonly file: string; readonly text: string }): string[]
