import type { ASTNode } from '@marcbachmann/cel-js'
import recheck from 'recheck/lib/browser.js'

const LOOPS: ReadonlySet<string> = new Set(['exists', 'all', 'exists_one', 'map', 'filter'])
const RECHECK_TIMEOUT_MS = 3000

/** What a valid and well-typed expression must also not do; undefined when it is fine. */
export function expressionProblem(
  ast: ASTNode,
  variables: Readonly<Record<string, readonly string[]>>,
): string | undefined {
  return visit(ast, { variables, looping: false })
}

interface Place {
  readonly variables: Readonly<Record<string, readonly string[]>>
  /** Inside the body of a loop whose length a client can choose. */
  readonly looping: boolean
}

function visit(node: ASTNode, place: Place): string | undefined {
  const own = rules(node, place)
  if (own !== undefined) return own
  if (node.op === 'rcall' && LOOPS.has(node.args[0])) {
    const [, receiver, loopArguments] = node.args
    const body: Place = { ...place, looping: place.looping || !isFixed(receiver) }
    return visit(receiver, place) ?? first(loopArguments, (argument) => visit(argument, body))
  }
  const fact = factField(node)
  if (fact !== undefined) return place.looping && CLIENT_LISTS.has(fact) ? NESTED : undefined
  return first(children(node), (child) => visit(child, place))
}

/** Fields of facts whose length a client chooses. */
const CLIENT_LISTS: ReadonlySet<string> = new Set([
  'reads',
  'writes',
  'columns',
  'functions',
  'changesSession',
  'opaque',
])

/** `reads` of `facts.reads`. */
function factField(node: ASTNode): string | undefined {
  return node.op === '.' && node.args[0].op === 'id' && node.args[0].args === 'facts' ? node.args[1] : undefined
}

function rules(node: ASTNode, place: Place): string | undefined {
  if (node.op === 'rcall' && node.args[0] === 'matches') return patternProblem(node.args[2][0])
  if (node.op === 'call' && node.args[0] === 'has') return hasProblem(node.args[1][0], place)
  if (node.op === 'id' && node.args === 'facts') return BARE
  if (node.op === 'rcall' && node.args[0] === 'bind' && mentionsClientList(node.args[2][1])) return BOUND
  if (!place.looping) return undefined
  // A client chooses how long the lists of facts are: loops over them inside each other would take the square of that.
  if (node.op === 'rcall' && LOOPS.has(node.args[0]) && !isFixed(node.args[1])) return NESTED
  if (node.op === 'in' && !isFixed(node.args[1])) return NESTED
  return undefined
}

// Under another name, a list of facts would escape the rule on nested loops.
const BARE = 'Write facts.<name>; facts as a whole cannot be passed on or indexed.'
const BOUND = 'cel.bind must not give a list of facts another name.'

function mentionsClientList(node: ASTNode | undefined): boolean {
  if (node === undefined) return false
  const fact = factField(node)
  return fact === undefined ? children(node).some(mentionsClientList) : CLIENT_LISTS.has(fact)
}

const NESTED =
  'Loops over lists of facts must not be nested: inside exists, all, map or filter use literal lists, identity or target only.'

/** Lists that no client can make long: literals, and what the administrator wrote. */
function isFixed(node: ASTNode): boolean {
  if (node.op === 'list' || node.op === 'map') return true
  return (
    node.op === '.' && node.args[0].op === 'id' && (node.args[0].args === 'identity' || node.args[0].args === 'target')
  )
}

/** `has(facts.typo)` is well-typed and always false, so a typo would switch the rule off. */
function hasProblem(argument: ASTNode | undefined, place: Place): string | undefined {
  if (argument?.op !== '.' || argument.args[0].op !== 'id') return undefined
  const fields = place.variables[argument.args[0].args]
  if (fields === undefined || fields.includes(argument.args[1])) return undefined
  return `No such key: ${argument.args[1]}. ${argument.args[0].args} has ${fields.join(', ')}.`
}

function patternProblem(argument: ASTNode | undefined): string | undefined {
  if (argument?.op !== 'value' || typeof argument.args !== 'string') {
    return 'matches() takes a literal pattern only, so that it can be checked when the policy is loaded.'
  }
  try {
    new RegExp(argument.args)
  } catch (error) {
    return error instanceof Error ? error.message : 'The pattern is not a regular expression.'
  }
  const { status } = recheck.checkSync(argument.args, '', { timeout: RECHECK_TIMEOUT_MS })
  if (status === 'safe') return undefined
  return `The pattern ${argument.args} can take too long on some texts. Anchor it with ^, or use contains, startsWith or endsWith.`
}

function children(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'list':
      return node.args
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return node.args
  }
}

function first<Item>(items: readonly Item[], check: (item: Item) => string | undefined): string | undefined {
  for (const item of items) {
    const found = check(item)
    if (found !== undefined) return found
  }
  return undefined
}
