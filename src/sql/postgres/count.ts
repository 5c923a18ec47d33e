import type { DeleteStmt, Node, RangeVar, UpdateStmt } from '@pgsql/types'
import { deparseSync } from 'pgsql-deparser'
import { parse } from './parser.ts'

/**
 * A query that counts the rows which a DELETE or UPDATE would touch: the same relation, joins, WITH and WHERE.
 *
 * @param sql - One statement, already found harmless to evaluate.
 * @returns undefined for any other statement, and for one whose WITH writes.
 */
export function countTouchedRows(sql: string): string | undefined {
  const statement = parse(sql)[0]?.node as Node | undefined
  if (statement === undefined) return undefined
  if ('DeleteStmt' in statement) return count(statement.DeleteStmt, statement.DeleteStmt.usingClause ?? [])
  if ('UpdateStmt' in statement) return count(statement.UpdateStmt, statement.UpdateStmt.fromClause ?? [])
  return undefined
}

function count(
  { relation, whereClause, withClause }: DeleteStmt | UpdateStmt,
  joined: readonly Node[],
): string | undefined {
  if (relation === undefined || (withClause?.ctes ?? []).some(writes)) return undefined
  const counted = joined.length === 0 ? { agg_star: true } : { agg_distinct: true, args: [rowIdentity(relation)] }
  const call = {
    FuncCall: { funcname: [text('pg_catalog'), text('count')], funcformat: 'COERCE_EXPLICIT_CALL', ...counted },
  }
  const select = {
    SelectStmt: {
      targetList: [{ ResTarget: { val: call } }],
      fromClause: [{ RangeVar: relation }, ...joined],
      ...(whereClause === undefined ? {} : { whereClause }),
      ...(withClause === undefined ? {} : { withClause }),
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  }
  return deparseSync([select as Node])
}

/** A join may meet a row several times; it is touched once. */
function rowIdentity(relation: RangeVar): Node {
  const name = relation.alias?.aliasname ?? relation.relname ?? ''
  const column = (field: string): Node => ({ ColumnRef: { fields: [text(name), text(field)] } })
  return { RowExpr: { args: [column('tableoid'), column('ctid')], row_format: 'COERCE_EXPLICIT_CALL' } }
}

function text(sval: string): Node {
  return { String: { sval } }
}

function writes(cte: Node): boolean {
  return !('CommonTableExpr' in cte) || !('SelectStmt' in (cte.CommonTableExpr.ctequery ?? {}))
}
