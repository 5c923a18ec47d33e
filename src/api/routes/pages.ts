import { z } from 'zod'
import type { ApiServer } from '../guard.ts'
import { id } from '../schemas.ts'
import type { ApiServices } from '../services.ts'

/** The links in notices lead here. The pages know nothing of what they are about, so they need no token. */
export function registerPages(server: ApiServer, services: ApiServices): void {
  server.get('/', { config: { access: 'public' }, schema: { hide: true } }, (_, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .send(
        page(services.name, [
          'Sallyport stands between AI agents and the systems they touch.',
          'This address is its API; the command line speaks to it:',
          '<pre>sallyport reviews list\nsallyport sessions list\nsallyport policy explain "select 1" --target &lt;target&gt;</pre>',
          'The API is described at <a href="/api/openapi.json">/api/openapi.json</a>.',
        ]),
      ),
  )
  server.get(
    '/reviews/:id',
    { config: { access: 'public' }, schema: { hide: true, params: z.strictObject({ id }) } },
    (request, reply) => {
      const { id: review } = request.params
      return reply
        .type('text/html; charset=utf-8')
        .send(
          page(`Review ${review}`, [
            'An operation waits for a second pair of eyes. If you are a reviewer, look at it and answer:',
            `<pre>sallyport reviews show ${review}\nsallyport reviews approve ${review}\nsallyport reviews deny ${review} --reason "..."</pre>`,
            'Name your profile with <code>--profile &lt;name&gt;</code> before the command when you have more than one.',
          ]),
        )
    },
  )
}

/** Every part is ours or checked by `id`; nothing a stranger writes gets here. */
function page(title: string, paragraphs: readonly string[]): string {
  const body = paragraphs.map((text) => (text.startsWith('<pre>') ? text : `<p>${text}</p>`)).join('\n')
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}pre{background:#8881;padding:1rem;overflow:auto}</style>
<h1>${title}</h1>
${body}
</html>
`
}
