import { expect, test } from 'vitest'
import { metaCommand } from './meta.ts'
import { resultLines } from './result.ts'
import { splitStatements } from './statements.ts'

test.each([
  { text: 'select 1;', statements: ['select 1;'], rest: '' },
  { text: 'select 1; select', statements: ['select 1;'], rest: ' select' },
  { text: "select ';'; x", statements: ["select ';';"], rest: ' x' },
  { text: "select ''';'", statements: [], rest: "select ''';'" },
  { text: "select e'\\';'; y", statements: ["select e'\\';';"], rest: ' y' },
  { text: 'select "a;""b";', statements: ['select "a;""b";'], rest: '' },
  { text: 'select $x$;$$;$x$;', statements: ['select $x$;$$;$x$;'], rest: '' },
  { text: 'select a$1; b', statements: ['select a$1;'], rest: ' b' },
  { text: 'select /* ; /* ; */ ; */ 1;', statements: ['select /* ; /* ; */ ; */ 1;'], rest: '' },
  { text: 'select 1 -- ;\n;', statements: ['select 1 -- ;\n;'], rest: '' },
  { text: 'select 1 -- open', statements: [], rest: 'select 1 -- open' },
  {
    text: 'create rule r as on insert to t do (a; b);',
    statements: ['create rule r as on insert to t do (a; b);'],
    rest: '',
  },
  { text: ';;', statements: [], rest: '' },
])('$text is cut at its semicolons', ({ text, statements, rest }) => {
  expect(splitStatements(text)).toEqual({ statements, rest })
})

test('a result looks as psql shows it', () => {
  const columns = [
    { name: 'id', typeOid: 23 },
    { name: 'name', typeOid: 25 },
  ]
  const rows = [
    ['1', 'Zoë'],
    ['20', null],
  ]
  expect(resultLines({ columns, rows, tag: 'SELECT 2' })).toEqual([
    ' id | name',
    '----+------',
    '  1 | Zoë',
    ' 20 |',
    '(2 rows)',
  ])
  expect(resultLines({ columns: [], rows: [], tag: 'DELETE 3' })).toEqual(['DELETE 3'])
})

test('backslash commands quote what they are given', () => {
  expect(metaCommand('\\q')).toEqual({ kind: 'quit' })
  expect(metaCommand('\\x')).toEqual({ kind: 'unknown' })
  expect(metaCommand("\\d o'brien")).toMatchObject({
    kind: 'query',
    sql: expect.stringContaining("table_name = 'o''brien'"),
  })
  expect(metaCommand('\\d audit.log')).toMatchObject({ sql: expect.stringContaining("table_schema = 'audit'") })
})
