/** The compiled parser without its singleton wrapper, so that a trapped instance can be replaced by a fresh one. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export interface ParserModule {
    lengthBytesUTF8(text: string): number
    stringToUTF8(text: string, pointer: number, maxBytes: number): void
    UTF8ToString(pointer: number): string
    getValue(pointer: number, type: 'i32'): number
    _malloc(bytes: number): number
    _free(pointer: number): void
    _wasm_parse_query_raw(query: number): number
    _wasm_free_parse_result(result: number): void
    _wasm_scan(query: number): number
    _wasm_free_string(pointer: number): void
  }
  const load: () => Promise<ParserModule>
  export default load
}
