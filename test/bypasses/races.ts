import { expect, test } from 'vitest'
import {
  bind,
  cancelRequest,
  close,
  copyData,
  copyDone,
  describe,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../src/protocols/postgres/encode.ts'
import { BACKEND } from '../../src/protocols/postgres/messages.ts'
import { eventually } from '../harness/index.ts'
import { expectNoLeak, gatewayCode, inSession, type Rig, recordingOf, restoring, stateOf } from './rig.ts'
import { dial, knock } from './wire.ts'

const HELD = 'delete from precious'
const COMPUTED = "select secret || '' from payments"

/** What a name means, at the gateway and at the server, when many messages are under way at once. */
export function races(rig: () => Rig): void {
  test('a Parse that the server refuses does not lend its meaning to the name after a Sync within a COPY', async () => {
    for (const evil of [HELD, COMPUTED]) {
      const before = await stateOf(rig())
      await inSession(rig(), 'agent', async (wire) => {
        wire.send(parse('x', evil), sync())
        await wire.answer()
        wire.send(
          parse('x', "select 'harmless'::text"), // refused by the server: the name is taken
          parse('c', 'copy notes (text) from stdin'),
          bind('', 'c', []),
          execute(''),
          sync(), // within a COPY for the gateway, the end of the failed segment for the server
          copyDone(),
          bind('p', 'x', []),
          describe('portal', 'p'),
          execute('p'),
          sync(),
        )
        const reviewed = eventually(
          'a review',
          async () => ((await pending(rig())).length > 0 ? true : undefined),
          3_000,
        )
        await Promise.race([reviewed.catch(() => undefined), wire.until(() => wire.count(BACKEND.readyForQuery) >= 2)])
        expectNoLeak(wire.take())
      })
      expect(await stateOf(rig())).toEqual(before)
    }
  })

  test('names of earlier segments are not taken for granted before they are answered', async () => {
    const before = await stateOf(rig())
    await inSession(rig(), 'agent', async (wire) => {
      wire.send(parse('x', HELD), parse('', HELD), sync())
      await wire.answer()
      wire.send(
        parse('x', 'select 1'), // refused by the server
        sync(),
        bind('p', 'x', []),
        execute('p'),
        sync(),
      )
      await eventually('a review', async () => ((await pending(rig())).length > 0 ? true : undefined))
      const { errors } = wire.take()
      expect(errors.map((error) => error.get('C'))).toEqual(['42P05'])
    })
    expect(await stateOf(rig())).toEqual(before)
  })

  test('what SQL does to names is not taken for granted either', async () => {
    await inSession(rig(), 'agent', async (wire) => {
      await wire.ask(`prepare x as ${COMPUTED}`)
      const failing = [
        'select 1/0; deallocate x; prepare x as select $$harmless$$',
        'deallocate nothing; deallocate x; prepare x as select $$harmless$$',
        'begin; select 1/0; prepare x as select $$harmless$$',
      ]
      for (const sql of failing) {
        wire.send(query(sql), query('rollback'), query('execute x'))
        const answer = await wire.answer(3)
        expectNoLeak(answer)
        expect(answer.cells.map(String)).toEqual(['[redacted]', '[redacted]', '[redacted]'])
        wire.send(query(sql), query('rollback'), parse('', 'execute x'), bind('', '', []), execute(''), sync())
        expectNoLeak(await wire.answer(3))
      }
    })
  })

  test('a described statement is planned anew when its names mean something else', async () => {
    await restoring(rig(), async () => {
      await inSession(rig(), 'walter', async (wire) => {
        await wire.ask('create temp table payments (id int, secret text); create temp table other (id int)')
        wire.send(parse('s', 'select secret from payments'), describe('statement', 's'), sync())
        await wire.answer()
        await wire.ask('set search_path = public, pg_temp')
        wire.send(bind('', 's', []), execute(''), sync())
        const answer = await wire.answer()
        expectNoLeak(answer)
        expect(answer.cells.length).toBeGreaterThan(0)
        await wire.ask('set search_path = pg_temp, public')
        wire.send(
          describe('statement', 's'),
          parse('t', 'set search_path = public, pg_temp'),
          bind('', 't', []),
          execute(''),
          bind('', 's', []),
          execute(''),
          sync(),
        )
        expectNoLeak(await wire.answer())
      })
    })
  })

  test('a view that is redefined in the same message, transaction or segment shows nothing', async () => {
    const redefine = 'create or replace view pay_view as select id, secret as c, secret as u, salary as d from payments'
    await restoring(rig(), async () => {
      await inSession(rig(), 'agent', async (wire) => {
        expectNoLeak(await wire.ask(`create view plain as select note as x, id from payments`))
        const evil = 'create or replace view plain as select secret as x, id from payments'
        for (const sql of [
          `${evil}; select x from plain`,
          `begin; ${evil}; copy (select x from plain) to stdout; rollback`,
        ])
          expectNoLeak(await wire.ask(sql))
        await wire.ask(`begin; ${redefine}`)
        for (const sql of ['select u from pay_view', 'copy (select u, d from pay_view) to stdout']) {
          expectNoLeak(await wire.ask(sql))
          expectNoLeak(await wire.ask('rollback; begin'))
        }
        await wire.ask('rollback')
        wire.send(parse('', evil), bind('', '', []), execute(''), parse('', 'select x from plain'), bind('', '', []))
        wire.send(execute(''), sync())
        expectNoLeak(await wire.answer())
      })
    })
  })

  test('errors of deferred constraints at Sync quote nothing', async () => {
    await restoring(rig(), async () => {
      await inSession(rig(), 'walter', async (wire) => {
        wire.send(parse('', "update payments set secret = 'moved' where id = 1"), bind('', '', []), execute(''), sync())
        const answer = await wire.answer()
        expect(answer.errors.map((error) => error.get('C'))).toEqual(['23503'])
        expectNoLeak(answer)
      })
    })
  })

  test('CopyData, CopyDone and CopyFail that nobody asked for are dropped', async () => {
    const before = await stateOf(rig())
    await inSession(rig(), 'walter', async (wire) => {
      wire.send(copyData(Buffer.from('1\tx\n')), copyDone(), query('select 1'), copyData(Buffer.from('x')))
      expect((await wire.answer()).tags).toEqual(['SELECT 1'])
      wire.send(query('copy missing from stdin'), copyData(Buffer.from('x\n')), copyDone(), query('select 2'))
      const { errors, tags } = await wire.answer(2)
      expect(errors.map((error) => error.get('C'))).toEqual(['42P01'])
      expect(tags).toEqual(['SELECT 1'])
    })
    expect(await stateOf(rig())).toEqual(before)
  })

  test('a COPY whose Sync arrives late goes through, and the session goes on', async () => {
    await restoring(rig(), async () => {
      await inSession(rig(), 'walter', async (wire) => {
        wire.send(parse('', 'copy notes (text) from stdin'), bind('', '', []), execute(''), flush())
        await wire.until(() => wire.count(BACKEND.copyInResponse) > 0)
        wire.send(sync(), copyData(Buffer.from('three\n')), copyDone(), sync())
        expect((await wire.answer()).tags).toEqual(['COPY 1'])
        expect((await wire.ask('select count(*) from notes')).cells.map(String)).toEqual(['3'])
      })
    })
  })

  test('split packets', async () => {
    await inSession(rig(), 'carol', async (wire) => {
      const bytes = Buffer.concat([
        query('select secret from payments'),
        query("insert into notes (text) values ('x')"),
      ])
      for (const byte of bytes) wire.send(Buffer.from([byte]))
      const answer = await wire.answer(2)
      expectNoLeak(answer)
      expect(gatewayCode(answer.errors[0])).toBe('access.level')
    })
  })

  test('a portal that is read row by row stays masked', async () => {
    await inSession(rig(), 'carol', async (wire) => {
      wire.send(query('begin'))
      wire.send(parse('', 'select secret, salary from payments'), bind('p', '', [], [], [1]), execute('p', 1), flush())
      await wire.until(() => wire.count(BACKEND.portalSuspended) > 0)
      wire.send(execute('p', 1), execute('p', 0), close('portal', 'p'), sync())
      const answer = await wire.answer(2)
      expect(answer.cells).toHaveLength(6)
      expectNoLeak(answer)
    })
  })

  test('a cancel key stops its own session only, and a flood of them harms nobody', async () => {
    await inSession(rig(), 'carol', async (wire) => {
      await inSession(rig(), 'carol', async (other) => {
        const { pid, secret } = other.link
        wire.send(query('select pg_sleep(1)'))
        const wrong = Buffer.from(secret).reverse()
        const requests = [cancelRequest(pid, secret), cancelRequest(wire.link.pid, wrong), cancelRequest(0, secret)]
        for (const request of requests) await knock(rig().gateway, [request])
        expect((await wire.answer()).tags, 'another session’s key does nothing').toEqual(['SELECT 1'])
      })
      const own = cancelRequest(wire.link.pid, wire.link.secret)
      wire.send(query('select pg_sleep(30)'))
      const flood = await Promise.all(Array.from({ length: 100 }, () => dial(rig().gateway.address)))
      for (const stream of flood) stream.write([own])
      expect((await wire.answer()).errors.map((error) => error.get('C'))).toEqual(['57014'])
      for (const stream of flood) stream.destroy()
      await eventually('the session to be well', async () =>
        (await wire.ask('select 1')).tags[0] === 'SELECT 1' ? true : undefined,
      )
    })
  })

  test('a held statement that is cancelled or left never runs', async () => {
    const before = await stateOf(rig())
    await inSession(rig(), 'agent', async (wire) => {
      wire.send(query(HELD), query('select 1'))
      await wire.until(() => wire.count(BACKEND.noticeResponse) > 0)
      await knock(rig().gateway, [cancelRequest(wire.link.pid, wire.link.secret)])
      const { errors, tags } = await wire.answer(2)
      expect(gatewayCode(errors[0])).toBe('review.withdrawn')
      expect(tags).toEqual(['SELECT 1'])
      wire.send(parse('', HELD), bind('', '', []), execute(''), sync())
      await wire.until(() => wire.count(BACKEND.noticeResponse) > 0)
    })
    await eventually('no review', async () => ((await pending(rig())).length === 0 ? true : undefined))
    expect(await stateOf(rig())).toEqual(before)
  })

  test('an approval is good for one run of one statement with the same parameters', async () => {
    await restoring(rig(), async () => {
      await inSession(rig(), 'agent', async (wire) => {
        wire.send(
          parse('d', 'delete from precious where id = $1'),
          bind('', 'd', ['1']),
          execute(''),
          bind('', 'd', ['2']),
          execute(''),
          sync(),
        )
        const review = await eventually('a review', async () => (await pending(rig()))[0])
        await rig().gateway.api('bob', 'POST', `/api/v1/reviews/${review}/approve`, {})
        const second = await eventually('another review', async () =>
          (await pending(rig())).find((id) => id !== review),
        )
        await rig().gateway.api('bob', 'POST', `/api/v1/reviews/${second}/deny`, {})
        const answer = await wire.answer()
        expect(gatewayCode(answer.errors[0])).toBe('review.denied')
        // The denial fails the segment, so the first deletion is rolled back as after any error.
        expect(await rig().target.value('select count(*)::int from precious')).toBe(2)
        const { events } = await recordingOf(rig(), wire.session)
        expect(events.filter((event) => event.type === 'review').length).toBeGreaterThanOrEqual(3)
      })
    })
  })
}

async function pending({ gateway }: Rig): Promise<string[]> {
  const { body } = await gateway.api('bob', 'GET', '/api/v1/reviews')
  return (body as { items: { id: string }[] }).items.map((item) => item.id)
}
