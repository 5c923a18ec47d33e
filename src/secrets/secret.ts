import { inspect } from 'node:util'

const SHOWN = '[secret]'

/** A value that only comes out where it is asked for by name: printing, logging and JSON show `[secret]`. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself. Hand it to what needs it and to nothing else. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [inspect.custom](): string {
    return SHOWN
  }
}
