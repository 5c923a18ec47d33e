import { whoamiView } from '../../api/schemas.ts'
import type { Register } from '../context.ts'

export const registerWhoami: Register = (parent, { run }) => {
  parent
    .command('whoami')
    .description('who the current profile speaks for')
    .action(
      run(async (context) => {
        const { output } = context
        const profile = await context.profile()
        const answer = await (await context.client()).get('/api/v1/whoami', whoamiView)
        output.answer(answer, () =>
          output.fields([
            ['who', answer.principal.label],
            ['e-mail', answer.principal.email],
            ['groups', answer.principal.groups.join(', ')],
            ['administrator', answer.administrator ? 'yes' : 'no'],
            ['token', answer.tokenId],
            ['gateway', profile.api],
          ]),
        )
        return undefined
      }),
    )
}
